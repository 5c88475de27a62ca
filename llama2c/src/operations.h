// The operations of the forward pass, as a table: one implementation computes (forward_cpu.c), one records commands for
// the GPU (forward_gpu.c). What each needs to know of the moment, the token and the position among it, is its own machine.
#ifndef OPERATIONS_H
#define OPERATIONS_H

#include "transformer.h"

typedef struct {
    // x (dim) = the current token's row of table (vocab_size, dim)
    void (*embed)(void *machine, float *x, const Matrix *table);
    // out (size) = x / rms(x) * weight, with EPSILON in the root
    void (*rmsnorm)(void *machine, float *out, const float *x, const float *weight, int size);
    // out (d) = w (d, n) x (n)
    void (*matmul)(void *machine, float *out, const float *x, const Matrix *w);
    // Turns every neighbouring pair of every head in x (heads, head_size) by the angle of the current position.
    void (*rope)(void *machine, float *x, int heads);
    // Where the current position's row of cache (seq_len, kv_dim) is computed: in the cache, or in vector (kv_dim).
    float *(*cache_row)(void *machine, float *cache, float *vector);
    // The current position's row of cache = row, which cache_row gave
    void (*store_row)(void *machine, float *cache, const float *row);
    // out (dim) = of each head the values up to the position, weighted by softmax(q . k / sqrt(head_size))
    void (*attend)(void *machine, float *out, const float *q, const float *keys, const float *values);
    // hb (size) = silu(hb) * hb2
    void (*swiglu)(void *machine, float *hb, const float *hb2, int size);
    // x (size) += y
    void (*add)(void *machine, float *x, const float *y, int size);
} Operations;

// One forward pass: the operations in order. state.logits (vocab_size) of the token after the current one result.
void forward(const Operations *operations, void *machine, const Transformer *transformer);

#endif
