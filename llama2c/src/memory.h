// The byte and string operations of <string.h> that the port uses; compilers also call the first three by themselves.
#ifndef MEMORY_H
#define MEMORY_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *to, int value, size_t size);
void *memmove(void *to, const void *from, size_t size);
size_t strlen(const char *text);
int strcmp(const char *a, const char *b);

#endif
