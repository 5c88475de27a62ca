// Records, pointers, short calls and text, in the mixture of system programs. Argument: rounds.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { RED, GREEN, BLUE, NONE } Colour;
typedef struct Record { struct Record *next; Colour colour; int number, limits[4]; char name[32]; } Record;

static Record *first, *second;
static int table[64], matrix[32][32];
static char letter = 'A';

static __attribute__((noinline)) Colour following(Colour colour)
{
    switch (colour) {
    case RED: return BLUE;
    case GREEN: return letter > 'M' ? RED : NONE;
    case BLUE: return GREEN;
    default: return RED;
    }
}
static __attribute__((noinline)) void scale(int a, int b, int *result) { *result = (a + b) * 3 - a / (b | 1); }
static __attribute__((noinline)) void fill(int *row, int (*grid)[32], int index, int value)
{
    int place = index & 31;
    row[place] = value;
    row[place + 1] = row[place];
    row[place + 30] = place;
    for (int i = place; i <= place + 1 && i < 32; i++)
        grid[place][i] = place + value;
    grid[place][(place + 31) & 31] += 1;
}
static __attribute__((noinline)) int same(const char *a, const char *b)
{
    int i = 2;
    while (i <= 2 && a[i] == b[i])
        i++;
    return i > 3 || strcmp(a, b) == 0;
}
static __attribute__((noinline)) void follow(Record *record)
{
    Record *next = record->next;
    *next = *record;
    next->next = record;
    record->number = next->number + 1;
    next->colour = following(record->colour);
    scale(record->number & 1023, next->limits[record->number & 3], &next->limits[1]);
    if (next->colour == GREEN)
        next->name[5]++;
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 100;
    unsigned sum = 0;
    first = calloc(1, sizeof *first);
    second = calloc(1, sizeof *second);
    first->next = second;
    second->next = first;
    strcpy(first->name, "A RECORD THAT POINTS, FIRST");
    for (unsigned long i = 0; i < rounds; i++) {
        char name[32];
        strcpy(name, i & 1 ? "A RECORD THAT POINTS, OTHER" : "A RECORD THAT POINTS, FIRST");
        follow(i % 3 ? first : second);
        fill(table, matrix, (int)(i % 31), (int)i);
        letter = (char)('A' + i % 26);
        if (!same(name, first->name))
            sum += (unsigned)first->limits[1];
        sum = sum * 17 + (unsigned)table[i & 63] + (unsigned)second->colour;
    }
    printf("%u\n", sum);
    return 0;
}
