// Uses files below /tmp as C programs do: tmpfile, tmpnam's kind of names, rename, remove, folders, listing.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void show(const char *what, int result)
{
    printf("%s %d\n", what, result);
}

int main(void)
{
    char folder[] = "/tmp/xenonXXXXXX", old[64], new[64], line[64];
    if (!mkdtemp(folder)) {
        perror("mkdtemp");
        return 1;
    }
    snprintf(old, sizeof old, "%s/old", folder);
    snprintf(new, sizeof new, "%s/new", folder);

    FILE *file = fopen(old, "w+");
    for (int i = 0; i < 1000; i++) {
        fprintf(file, "line %d\n", i);
    }
    fseek(file, 0, SEEK_SET);
    for (int i = 0; i < 501; i++) {
        if (!fgets(line, sizeof line, file)) {
            return 2;
        }
    }
    fputs(line, stdout);
    show("truncated", ftruncate(fileno(file), 20));
    fclose(file);

    file = fopen(old, "a");
    fputs("end\n", file);
    show("at", (int)ftell(file));
    fclose(file);

    show("renamed", rename(old, new));
    show("gone", access(old, F_OK));
    struct stat about;
    show("found", stat(new, &about));
    show("size", (int)about.st_size);
    show("file", S_ISREG(about.st_mode));

    DIR *listing = opendir(folder);
    for (struct dirent *entry; (entry = readdir(listing));) {
        if (entry->d_name[0] != '.') {
            puts(entry->d_name);
        }
    }
    closedir(listing);

    FILE *nameless = tmpfile();
    if (!nameless) {
        perror("tmpfile");
        return 3;
    }
    fputs("kept", nameless);
    rewind(nameless);
    puts(fgets(line, sizeof line, nameless));
    fclose(nameless);

    show("not empty", rmdir(folder));
    show("removed", remove(new));
    show("removed", remove(folder));
    return 0;
}
