// Byte and string operations for a program without a C library: by 8 bytes where both ends are aligned alike.
#include "memory.h"

#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    if ((((uintptr_t)t ^ (uintptr_t)f) & 7) == 0) {
        for (; size && ((uintptr_t)t & 7); size--) {
            *t++ = *f++;
        }
        for (; size >= 8; size -= 8, t += 8, f += 8) {
            *(uint64_t *)(void *)t = *(const uint64_t *)(const void *)f;
        }
    }
    while (size--) {
        *t++ = *f++;
    }
    return to;
}

void *memset(void *to, int value, size_t size)
{
    unsigned char *t = to;
    while (size--) {
        *t++ = (unsigned char)value;
    }
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    if (t <= f) {
        while (size--) {
            *t++ = *f++;
        }
    } else {
        while (size--) {
            t[size] = f[size];
        }
    }
    return to;
}

size_t strlen(const char *text)
{
    size_t length = 0;
    while (text[length]) {
        length++;
    }
    return length;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return (int)(unsigned char)*a - (int)(unsigned char)*b;
}
