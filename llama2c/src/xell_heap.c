// Memory from the RAM that nothing holds. None is given back.
#include "memory.h"
#include "xell.h"

enum { PAGE = 4096, MOST_RANGES = 8 };
static const uint64_t RAM_END = 0x1e000000;  // the framebuffer is above
// The loader's code, where threads wait until they come to the program.
static const Range LOADER = {0x07f80000, 0x08000000};

static Range ranges[MOST_RANGES];
static int count = 0;

// Takes a range out of the free ones, which stay in the order of addresses. What does not fit in the table is given up.
static void reserve(Range held)
{
    held = (Range){held.start & ~(uint64_t)(PAGE - 1), (held.end + PAGE - 1) & ~(uint64_t)(PAGE - 1)};
    for (int i = 0; i < count; i++) {
        Range *range = &ranges[i];
        if (held.start >= range->end || held.end <= range->start) {
            continue;
        }
        Range rest = {held.end, range->end};
        range->end = held.start > range->start ? held.start : range->start;
        if (rest.start < rest.end && count < MOST_RANGES) {
            for (int place = count++; place > i + 1; place--) {
                ranges[place] = ranges[place - 1];
            }
            ranges[++i] = rest;
        }
    }
}

void heap_start(const Device_Tree *tree, uint64_t image_end, uint64_t screen)
{
    uint64_t end = tree->memory_end && tree->memory_end < RAM_END ? tree->memory_end : RAM_END;
    end = screen && screen < end ? screen : end;
    uint64_t start = (image_end + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    ranges[0] = (Range){start, (end & ~(uint64_t)(PAGE - 1)) > start ? end & ~(uint64_t)(PAGE - 1) : start};
    count = 1;
    reserve(LOADER);
    reserve(tree->tree);
    reserve(tree->initrd);
}

void *heap_take(uint64_t size)
{
    if (size > RAM_END) {
        return 0;
    }
    size = (size + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    for (int i = 0; i < count; i++) {
        if (ranges[i].end - ranges[i].start >= size) {
            void *memory = (void *)ranges[i].start;
            ranges[i].start += size;
            return memset(memory, 0, size);
        }
    }
    return 0;
}

Range heap_largest(void)
{
    Range largest = {0, 0};
    for (int i = 0; i < count; i++) {
        if (ranges[i].end - ranges[i].start > largest.end - largest.start) {
            largest = ranges[i];
        }
    }
    return largest;
}
