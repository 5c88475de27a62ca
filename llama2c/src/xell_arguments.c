// The program's options: texts in a file that `pack` has written, and the line of kboot.conf.
#include "memory.h"
#include "xell.h"

// The loader's root= is passed over.
int arguments_of_line(char *line, char **arguments, int count)
{
    while (count < XELL_ARGUMENTS) {
        while (*line == ' ') {
            *line++ = 0;
        }
        if (!*line) {
            return count;
        }
        int is_prompt = count && strcmp(arguments[count - 1], "-i") == 0;
        int is_root = line[0] == 'r' && line[1] == 'o' && line[2] == 'o' && line[3] == 't' && line[4] == '=';
        if (is_prompt || !is_root) {
            arguments[count++] = line;
        }
        if (is_prompt) {
            return count;
        }
        while (*line && *line != ' ') {
            line++;
        }
    }
    return count;
}

// Each text has a zero behind it.
int arguments_of_file(char **arguments, int count)
{
    int64_t handle = file_named("arguments");
    uint64_t size = handle < 0 ? 0 : file_size(handle);
    char *text = size ? heap_take(size + 1) : 0;
    if (!text || !file_read(handle, 0, text, size)) {
        return count;
    }
    for (uint64_t start = 0; start < size && count < XELL_ARGUMENTS; start += strlen(text + start) + 1) {
        arguments[count++] = text + start;
    }
    return count;
}

// The prompt is behind -i.
int arguments_without(char **arguments, int count, const char *word, int *is_there)
{
    int kept = 0;
    for (int i = 0; i < count; i++) {
        int is_prompt = i > 0 && strcmp(arguments[i - 1], "-i") == 0;
        if (!is_prompt && strcmp(arguments[i], word) == 0) {
            *is_there = 1;
        } else {
            arguments[kept++] = arguments[i];
        }
    }
    return kept;
}
