// Text: the C library's copies, comparisons, searches and conversions, and a count of words. Argument: rounds.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char text[] = "Once upon a time there was a little bear who lived in a big green forest near a "
    "river. Every day the bear went to look for berries, and every day the birds sang to it from the trees. One "
    "morning the river was gone, and so were the berries; the bear sat down on a stone and thought about it. ";
enum { BUCKETS = 256 };

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 10, sum = 0;
    static char copy[sizeof text], line[256], words[BUCKETS][24];
    static unsigned counts[BUCKETS];
    for (unsigned long round = 0; round < rounds; round++) {
        strcpy(copy, text);
        for (char *c = copy; *c; c++)
            *c = (char)((round + (unsigned long)(c - copy)) % 5 ? tolower((unsigned char)*c) : toupper((unsigned char)*c));
        for (char *word = strtok(copy, " .,;"); word; word = strtok(NULL, " .,;")) {
            unsigned hash = 5381;
            for (const char *c = word; *c; c++)
                hash = hash * 33 + (unsigned char)tolower((unsigned char)*c);
            unsigned slot = hash % BUCKETS;
            while (words[slot][0] && strcasecmp(words[slot], word))
                slot = (slot + 1) % BUCKETS;
            strncpy(words[slot], word, sizeof words[slot] - 1);
            counts[slot]++;
        }
        snprintf(line, sizeof line, "%lu %s %d %.3f %c", round, words[round % BUCKETS], (int)round % 77, (double)round / 7,
                 'a' + (int)(round % 26));
        sum = sum * 31 + strlen(line) + (unsigned long)atol(line);
        sum += (unsigned long)(strstr(text, "berries") - text) + (unsigned long)(strchr(text, ';') - text);
        sum += (unsigned long)(memcmp(copy, text, 8) != 0);
        memmove(line + 1, line, 100);
        sum += (unsigned char)line[round % 20];
    }
    for (int i = 0; i < BUCKETS; i++)
        sum = sum * 31 + counts[i];
    printf("%lu\n", sum);
    return 0;
}
