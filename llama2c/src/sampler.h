// Picks the next token from the logits: the likeliest one, or a random one by softmax, or by the nucleus (top-p,
// Holtzman et al., 2019) of it, with min-p (Nguyen et al., 2024) and a repetition penalty (Keskar et al., 2019).
#ifndef SAMPLER_H
#define SAMPLER_H

#include <stdint.h>

#include "kernels.h"

enum { REPEAT_WINDOW = 64 };  // tokens that the repetition penalty looks back

typedef struct {
    float temperature;     // 0: always the likeliest
    float topp;            // 0 or 1: no nucleus
    float min_p;           // tokens less likely than this share of the likeliest are not picked; 0: all may be
    float repeat_penalty;  // divides the logits of recent tokens above 0, multiplies those below; 1: none
} Sampling;

typedef struct {
    const Kernels *kernels;     // for softmax and argmax
    Sampling how;
    uint64_t state;             // of the xorshift* generator; not 0
    uint32_t *nucleus;          // (2, vocab_size) candidates, and room to sort them
    int vocab_size;
    int recent[REPEAT_WINDOW];  // the last tokens, a ring
    uint64_t seen;              // tokens that have been put into the ring
} Sampler;

// 1, or 0 when there is no room.
int sampler_start(Sampler *sampler, const Kernels *kernels, int vocab_size, Sampling how, uint64_t seed);
// From now on the tokens (n), and no others, are those before the next one.
void sampler_forget(Sampler *sampler, const int *tokens, int n);
// The token goes behind those before.
void sampler_accept(Sampler *sampler, int token);
// The token picked; logits (vocab_size) is overwritten.
int sampler_sample(Sampler *sampler, float *logits);
// A token picked by its probability (vocab_size), whatever the temperature and the penalty.
int sampler_pick(Sampler *sampler, const float *probabilities);

#endif
