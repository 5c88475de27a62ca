// The forward pass on the CPU: each operation computes when it is called.
#ifndef FORWARD_CPU_H
#define FORWARD_CPU_H

#include "operations.h"

// The layers for tokens (positions), 1 to BATCH, from position pos on; earlier positions must have gone before.
void forward_cpu(const Transformer *transformer, const int *tokens, int positions, int pos);
// The logits (vocab_size) of the token that follows number `wanted`, from 0, of the last pass.
float *classify_cpu(const Transformer *transformer, int wanted);

// What is called in place of forward or classify, to go through the CPU's operations in another way.
typedef void Through(const Operations *operations, void *machine, const Transformer *transformer, void *context);
void forward_cpu_through(const Transformer *transformer, const int *tokens, int positions, int pos, Through *through,
                         void *context);
void classify_cpu_through(const Transformer *transformer, int wanted, Through *through, void *context);

#endif
