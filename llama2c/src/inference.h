// The model at work: tokens go through the layers on the CPU or the GPU, and the sampler picks the next one.
#ifndef INFERENCE_H
#define INFERENCE_H

#include "forward_gpu.h"
#include "sampler.h"

typedef struct {
    Transformer *transformer;
    Forward_Gpu *gpu;  // NULL: the CPU computes
    Sampler *sampler;
    int pos;           // of the next token to go through the layers
} Inference;

// The layers for the next tokens: 1, or 0 when the GPU does not answer.
int inference_pass(Inference *inference, const int *tokens, int positions);
// The logits (vocab_size) of a position of the last pass; NULL when the GPU does not answer.
float *inference_logits(const Inference *inference, int position);
// The next token by the last logits, which are overwritten; -1 when the GPU does not answer.
int inference_pick(const Inference *inference, float *logits);

#endif
