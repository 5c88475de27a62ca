/* An ordinary hosted program, one job a word on its command line; its output must not depend on where it runs. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int by_value(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

static void numbers(void) {
    printf("%d %u %lx %5.3f %e %g %s %c|%-8s|%08d\n", -7, 7u, 0xfeedfaceL, 3.14159, 1e-300, 0.1, "text", 'c', "left", 42);
    float sum = 0;
    double product = 1;
    for (int i = 1; i <= 1000; i++) {
        sum += 1.0f / i;
        product *= 1 + 1.0 / ((double)i * i);
    }
    printf("%.9g %.17g %.17g %.17g\n", sum, product, sqrt(2), exp(1));
    volatile int big = 1 << 30;
    printf("%lld %d %d\n", (long long)big * 4, big % 1000, -big / 7);
    unsigned char *bytes = (unsigned char *)&big;
    printf("%02x%02x%02x%02x\n", bytes[0], bytes[1], bytes[2], bytes[3]);
}

static void sorting(void) {
    int n = 20000, *values = malloc(n * sizeof *values);
    unsigned state = 1;
    for (int i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (int)state;
    }
    qsort(values, n, sizeof *values, by_value);
    long check = 0;
    for (int i = 0; i < n; i++) check = check * 31 + values[i];
    printf("%d %d %ld\n", values[0], values[n - 1], check);
    free(values);
}

static void memory(void) {
    char *blocks[200];
    for (int i = 0; i < 200; i++) {
        size_t size = (size_t)(i % 17 + 1) * 3001 * (i % 23 ? 1 : 40);
        blocks[i] = malloc(size);
        memset(blocks[i], i, size);
        if (i % 3 == 0) blocks[i] = realloc(blocks[i], size * 2);
        if (i % 7 == 3) { free(blocks[i - 1]); blocks[i - 1] = calloc(1, 100000); }
    }
    long sum = 0;
    for (int i = 0; i < 200; i++) { sum += blocks[i][100]; free(blocks[i]); }
    char *large = malloc(64 << 20);
    large[0] = 1; large[(64 << 20) - 1] = 2;
    printf("%ld %d\n", sum, large[0] + large[(64 << 20) - 1]);
    free(large);
}

static void too_much(void) {
    char *volatile large = malloc(600u << 20);
    printf("%s\n", large ? "allocated" : strerror(errno));
}

static void input(void) {
    char line[256];
    long lines = 0, sum = 0;
    while (fgets(line, sizeof line, stdin)) { lines++; sum += strtol(line, NULL, 10); }
    printf("%ld lines, sum %ld\n", lines, sum);
}

static void file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) { printf("%s: %s\n", path, strerror(errno)); return; }
    char head[5] = "";
    printf("%zu %s", fread(head, 1, 4, f), head);
    fseek(f, -4, SEEK_END);
    printf(" %zu", fread(head, 1, 4, f));
    printf(" %s %ld", head, ftell(f));
    fclose(f);
    int fd = open(path, O_RDONLY);
    struct stat info;
    fstat(fd, &info);
    unsigned char *mapped = mmap(NULL, info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    unsigned long sum = 0;
    for (long i = 0; i < info.st_size; i++) sum = sum * 33 + mapped[i];
    printf(" %lld %lx %d\n", (long long)info.st_size, sum, S_ISREG(info.st_mode));
    munmap(mapped, info.st_size);
}

static void map(const char *path) {
    int fd = open(path, O_RDONLY);
    struct stat info;
    fstat(fd, &info);
    void *mapped = mmap(NULL, info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapped == MAP_FAILED) perror(path);
    else printf("mapped %lld\n", (long long)info.st_size);
}

static void times(void) {
    struct timespec before, after, nap = {0, 20000000};
    clock_gettime(CLOCK_MONOTONIC, &before);
    nanosleep(&nap, NULL);
    clock_gettime(CLOCK_MONOTONIC, &after);
    long passed = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
    printf("%d %d\n", passed >= 20, time(NULL) > 1600000000);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *job = argv[i];
        if (!strcmp(job, "numbers")) numbers();
        else if (!strcmp(job, "sorting")) sorting();
        else if (!strcmp(job, "memory")) memory();
        else if (!strcmp(job, "too-much")) too_much();
        else if (!strcmp(job, "input")) input();
        else if (!strcmp(job, "times")) times();
        else if (!strcmp(job, "environment")) printf("%s\n", getenv("GREETING"));
        else if (!strcmp(job, "file")) file(argv[++i]);
        else if (!strcmp(job, "map")) map(argv[++i]);
        else if (!strcmp(job, "terminal")) printf("%d %d %d\n", isatty(0), isatty(1), isatty(2));
        else if (!strcmp(job, "error")) { fflush(stdout); fprintf(stderr, "to stderr\n"); }
        else if (!strcmp(job, "abort")) abort();
        else if (!strcmp(job, "status")) return atoi(argv[++i]);
        else printf("argument %d: %s\n", i, job);
    }
    return 0;
}
