// What a run measured, as a record for programs: `-r DESCRIPTOR` writes it once, when the story is told.
// Figures in llama2c/facts.py reads it.
#ifndef FIGURES_H
#define FIGURES_H

#include <stdint.h>

// Offset  Bytes  Field, big-endian on every machine
//      0      4  FIGURES_MAGIC
//      4      4  FIGURES_VERSION
//      8      8  prompt_tokens: BOS and the prompt's that were read
//     16      8  prompt_nanoseconds that reading them took
//     24      8  first_tokens: those of the first pass
//     32      8  first_nanoseconds of that pass, which pays for what is touched for the first time
//     40      8  tokens: steps after the prompt
//     48      8  nanoseconds that those steps took
enum { FIGURES_MAGIC = 0x6c326366, FIGURES_VERSION = 2, FIGURES_BYTES = 56 };  // "l2cf"

typedef struct {
    uint64_t prompt_tokens;
    uint64_t prompt_nanoseconds;
    uint64_t first_tokens;
    uint64_t first_nanoseconds;
    uint64_t tokens;
    uint64_t nanoseconds;
} Figures;

void figures_write(const Figures *figures, int descriptor);
// The same for people, on standard error: llama2.c's line, and one for the prompt.
void figures_print(const Figures *figures);

#endif
