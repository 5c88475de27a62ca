// A stable merge sort, from runs of one item upwards.
#include "sort.h"

static void merge(uint32_t *to, const uint32_t *from, uint32_t start, uint32_t middle, uint32_t end, Order *order,
                  const void *context)
{
    uint32_t left = start, right = middle;
    for (uint32_t i = start; i < end; i++) {
        int take_left = right >= end || (left < middle && order(context, from[left], from[right]) <= 0);
        to[i] = take_left ? from[left++] : from[right++];
    }
}

void stable_sort(uint32_t *items, uint32_t *scratch, uint32_t n, Order *order, const void *context)
{
    uint32_t *from = items, *to = scratch;
    for (uint64_t run = 1; run < n; run *= 2) {
        for (uint64_t start = 0; start < n; start += 2 * run) {
            uint64_t middle = start + run < n ? start + run : n;
            uint64_t end = start + 2 * run < n ? start + 2 * run : n;
            merge(to, from, (uint32_t)start, (uint32_t)middle, (uint32_t)end, order, context);
        }
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    for (uint32_t i = 0; from != items && i < n; i++) {
        items[i] = from[i];
    }
}
