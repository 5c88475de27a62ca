// The operations of the forward pass, as a table: one implementation computes (forward_cpu.c), one records commands for
// the GPU (forward_gpu.c). What each needs to know of the moment, the tokens and the positions among it, is its own
// machine. B is the number of positions in this pass, 1 to BATCH, at which activations are (B, size).
#ifndef OPERATIONS_H
#define OPERATIONS_H

#include "transformer.h"

typedef struct {
    // x (B, dim) = each token's row of table (vocab_size, dim)
    void (*embed)(void *machine, float *x, const Matrix *table);
    // out (B, size) = x / rms(x) * weight of each position, with rms_norm_eps in the root; out may be x
    void (*rmsnorm)(void *machine, float *out, const float *x, const float *weight, int size);
    // out (B, d) = w (d, n) x (n) of each position, for 1 to MOST_PROJECTIONS w of their own out
    void (*matmul)(void *machine, const float *x, const Projection *projections, int count);
    // Turns every neighbouring pair of every head in x (B, heads, head_size) by the angle of its position.
    void (*rope)(void *machine, float *x, int heads);
    // The positions' rows of a layer's cache = rows (B, kv_dim)
    void (*store_rows)(void *machine, void *cache, const float *rows);
    // out (B, dim) = of each head the values up to the position, weighted by softmax(q . k / sqrt(head_size))
    void (*attend)(void *machine, float *out, const float *q, const void *keys, const void *values);
    // hb (B, size) = silu(hb) * hb2
    void (*swiglu)(void *machine, float *hb, const float *hb2, int size);
    // x (B, size) += y
    void (*add)(void *machine, float *x, const float *y, int size);
    // out (size) = the row of x (BATCH, size) whose logits are wanted
    void (*take_row)(void *machine, float *out, const float *x, int size);
} Operations;

// The layers for a batch of positions: state.x (B, dim) and the positions' rows of both caches result.
void forward(const Operations *operations, void *machine, const Transformer *transformer);
// The logits of one position of the batch: state.logits (vocab_size) of the token after it result. B is 1 here.
void classify(const Operations *operations, void *machine, const Transformer *transformer);

#endif
