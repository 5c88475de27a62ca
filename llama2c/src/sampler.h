// Picks the next token from the logits: the likeliest one, or a random one by softmax, or by the nucleus (top-p,
// Holtzman et al., 2019) of it.
#ifndef SAMPLER_H
#define SAMPLER_H

#include <stdint.h>

#include "kernels.h"

typedef struct {
    const Kernels *kernels;  // for softmax and argmax
    float temperature;  // 0: always the likeliest
    float topp;         // 0 or 1: no nucleus
    uint64_t state;     // of the xorshift* generator; not 0
    uint32_t *nucleus;  // (2, vocab_size) candidates, and room to sort them
    int vocab_size;
} Sampler;

// 1, or 0 when there is no room.
int sampler_start(Sampler *sampler, const Kernels *kernels, int vocab_size, float temperature, float topp, uint64_t seed);
// The token picked; logits (vocab_size) is overwritten.
int sampler_sample(Sampler *sampler, float *logits);
// A token picked by its probability (vocab_size), whatever the temperature.
int sampler_pick(Sampler *sampler, const float *probabilities);

#endif
