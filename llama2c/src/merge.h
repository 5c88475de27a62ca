// Byte-pair merging of a list of tokens, in n log n steps.
#ifndef MERGE_H
#define MERGE_H

#include <stdint.h>

#define NO_MERGE UINT32_MAX

// What two neighbours become: the least rank merges first. Rank NO_MERGE: they stay two.
typedef struct {
    uint32_t rank;
    int token;
} Merge;

typedef Merge Merge_Of(const void *context, int left, int right);

// Arrays that a merge works in, for lists of n tokens and less; a list is linked through the first two.
typedef struct {
    uint32_t *next, *before;  // (n) each
    uint32_t *ranks;          // (n) of the token and its successor
    int *merged;              // (n) what the two would become
    uint64_t *heap;           // (2n) rank << 32 | place of every pair that merges, and of pairs that are gone
} Merge_Scratch;

// Cuts the arrays for n tokens out of memory, MERGE_BYTES * n of it, aligned to 8 bytes.
Merge_Scratch merge_scratch(void *memory, uint64_t n);
// Merges neighbours, the least rank first, of equals the leftmost, until none merge: the tokens left, in tokens.
uint32_t merge_tokens(int *tokens, uint32_t n, const Merge_Scratch *scratch, Merge_Of *merge_of, const void *context);

#endif
