// Byte-pair merging with a linked list and a heap. A pair enters the heap when it comes to be; a pair that is gone
// stays there, and is known by a rank that its place no longer has.
#include "merge.h"

#include "allocations.h"

#define NOWHERE UINT32_MAX
_Static_assert(MERGE_BYTES == 4 * sizeof(uint32_t) + 2 * sizeof(uint64_t), "allocations.h knows the arrays");

typedef struct {
    int *tokens;
    uint32_t n;
    const Merge_Scratch *arrays;
    uint32_t waiting;  // keys in the heap
    Merge_Of *merge_of;
    const void *context;
} List;

static void push(List *list, uint64_t key)
{
    uint64_t *heap = list->arrays->heap;
    uint32_t i = list->waiting++;
    for (; i > 0 && key < heap[(i - 1) / 2]; i = (i - 1) / 2) {
        heap[i] = heap[(i - 1) / 2];
    }
    heap[i] = key;
}

static uint64_t pop(List *list)
{
    uint64_t *heap = list->arrays->heap;
    uint64_t least = heap[0], key = heap[--list->waiting];
    uint32_t i = 0, child;
    while ((child = 2 * i + 1) < list->waiting) {
        child += child + 1 < list->waiting && heap[child + 1] < heap[child];
        if (key <= heap[child]) {
            break;
        }
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = key;
    return least;
}

// The pair of the token at i and its successor.
static void weigh(List *list, uint32_t i)
{
    const Merge_Scratch *s = list->arrays;
    Merge merge = {NO_MERGE, 0};
    if (s->next[i] < list->n) {
        merge = list->merge_of(list->context, list->tokens[i], list->tokens[s->next[i]]);
    }
    s->ranks[i] = merge.rank;
    s->merged[i] = merge.token;
    if (merge.rank != NO_MERGE) {
        push(list, (uint64_t)merge.rank << 32 | i);
    }
}

static void merge_at(List *list, uint32_t left)
{
    const Merge_Scratch *s = list->arrays;
    uint32_t right = s->next[left];
    list->tokens[left] = s->merged[left];
    s->ranks[right] = NO_MERGE;
    s->next[left] = s->next[right];
    if (s->next[left] < list->n) {
        s->before[s->next[left]] = left;
    }
    if (s->before[left] != NOWHERE) {
        weigh(list, s->before[left]);
    }
    weigh(list, left);
}

Merge_Scratch merge_scratch(void *memory, uint64_t n)
{
    uint64_t *heap = memory;
    uint32_t *words = (uint32_t *)(void *)(heap + 2 * n);
    return (Merge_Scratch){words, words + n, words + 2 * n, (int *)(words + 3 * n), heap};
}

uint32_t merge_tokens(int *tokens, uint32_t n, const Merge_Scratch *s, Merge_Of *merge_of, const void *context)
{
    List list = {tokens, n, s, 0, merge_of, context};
    for (uint32_t i = 0; i < n; i++) {
        s->next[i] = i + 1;
        s->before[i] = i ? i - 1 : NOWHERE;
        weigh(&list, i);
    }
    while (list.waiting) {
        uint64_t key = pop(&list);
        if (s->ranks[(uint32_t)key] == key >> 32) {
            merge_at(&list, (uint32_t)key);
        }
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i = s->next[i]) {
        tokens[count++] = tokens[i];
    }
    return count;
}
