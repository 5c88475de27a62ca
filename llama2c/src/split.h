// Pre-tokenizers of byte-level BPE: they cut a text into pieces, within which bytes merge.
#ifndef SPLIT_H
#define SPLIT_H

#include <stdint.h>

typedef enum {
    SPLIT_GPT2 = 1,   // GPT-2's expression
    SPLIT_SMOLLM,     // every number alone, GPT-2's expression on the stretches between
    SPLIT_LLAMA3,     // Llama 3's expression: numbers in threes
    SPLIT_QWEN2,      // Qwen 2's expression: Llama 3's with every number alone
    SPLIT_LAST = SPLIT_QWEN2,
} Splitting;

typedef struct {
    Splitting how;
    const char *text;
    uint64_t length;
    uint64_t stretch;  // where the stretch without numbers that has been looked for ends; 0 at first
} Split;

// The end of the piece that begins at start, which is before the end of the text.
uint64_t split_next(Split *split, uint64_t start);

#endif
