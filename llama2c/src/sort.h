// A stable merge sort: what is equal keeps its order, as with the C library's qsort that llama2.c was written with.
#ifndef SORT_H
#define SORT_H

#include <stdint.h>

// Negative, zero or positive as item a goes before, beside or after item b.
typedef int Order(const void *context, uint32_t a, uint32_t b);

// Sorts n items; scratch has room for n more.
void stable_sort(uint32_t *items, uint32_t *scratch, uint32_t n, Order *order, const void *context);

#endif
