// What a run measured, as a record for programs: `-r DESCRIPTOR` writes it once, when the story is told.
// Figures in llama2c/facts.py reads it.
#ifndef FIGURES_H
#define FIGURES_H

#include <stdint.h>

// Offset  Bytes  Field, big-endian on every machine
//      0      4  FIGURES_MAGIC
//      4      4  FIGURES_VERSION
//      8      8  tokens: steps after the first, as llama2.c counts them
//     16      8  prompt_tokens: BOS and the prompt's
//     24      8  nanoseconds that those steps took
enum { FIGURES_MAGIC = 0x6c326366, FIGURES_VERSION = 1, FIGURES_BYTES = 32 };  // "l2cf"

typedef struct {
    uint64_t tokens;
    uint64_t prompt_tokens;
    uint64_t nanoseconds;
} Figures;

void figures_write(const Figures *figures, int descriptor);
// The same for people, on standard error: llama2.c's line.
void figures_print(const Figures *figures);

#endif
