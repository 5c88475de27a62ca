// qsort of numbers, of pointers to text and of structures, each by a function pointer. Argument: rounds.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 5000 };
typedef struct { double key; int order; char name[12]; } Row;

static unsigned long state = 1;
static unsigned random_number(void)
{
    state = state * 6364136223846793005ul + 1442695040888963407ul;
    return (unsigned)(state >> 33);
}
static int by_number(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}
static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }
static int by_key(const void *a, const void *b)
{
    double x = ((const Row *)a)->key, y = ((const Row *)b)->key;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 1, sum = 0;
    static int numbers[COUNT];
    static char texts[COUNT][12], *pointers[COUNT];
    static Row rows[COUNT];
    for (unsigned long round = 0; round < rounds; round++) {
        for (int i = 0; i < COUNT; i++) {
            numbers[i] = (int)random_number();
            snprintf(texts[i], sizeof texts[i], "%x", random_number());
            pointers[i] = texts[i];
            rows[i].key = random_number() / 3.0;
            rows[i].order = i;
        }
        qsort(numbers, COUNT, sizeof *numbers, by_number);
        qsort(pointers, COUNT, sizeof *pointers, by_text);
        qsort(rows, COUNT, sizeof *rows, by_key);
        for (int i = 0; i < COUNT; i++)
            sum = sum * 31 + (unsigned)numbers[i] + (unsigned char)pointers[i][i % 3] + (unsigned)rows[i].order;
    }
    printf("%lu\n", sum);
    return 0;
}
