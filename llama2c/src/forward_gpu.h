// The forward pass on the GPU: recorded once as command buffers, replayed for each batch of positions.
#ifndef FORWARD_GPU_H
#define FORWARD_GPU_H

#include "gpu.h"
#include "transformer.h"

typedef struct {
    Gpu gpu;
    Commands forward;      // tokens, their number and the first position in; the layers
    Commands classify;     // which of them in, its logits out
    Commands softmax;      // logits in, probabilities out
    Commands argmax;       // logits in, the likeliest token out
    float *logits;         // (vocab_size) the transformer's
    float *probabilities;  // (vocab_size)
    uint32_t *likeliest;   // one word
    uint32_t *programs;    // (GPU_PROGRAMS, GPU_PROGRAM_WORDS) their headers
} Forward_Gpu;

// For a transformer that has its weights and its state: 1, or 0 after a message on standard error.
int forward_gpu_start(Forward_Gpu *engine, const Transformer *transformer);
// As forward_cpu: 1, or 0 after a message when the GPU does not answer.
int forward_gpu(Forward_Gpu *engine, const int *tokens, int positions, int pos);
// As classify_cpu; NULL after a message when the GPU does not answer. So are the others.
float *classify_gpu(Forward_Gpu *engine, int wanted);
// The probabilities (vocab_size) of the last logits at this temperature, above 0.
float *forward_gpu_softmax(Forward_Gpu *engine, float temperature);
// The likeliest token after the last logits, or -1.
int forward_gpu_argmax(Forward_Gpu *engine);

#endif
