// Picks the next token: argmax, multinomial or top-p, with llama2.c's xorshift* generator (Vigna, 2016).
#include "sampler.h"

#include "allocations.h"
#include "sort.h"

int sampler_start(Sampler *s, const Kernels *kernels, int vocab_size, float temperature, float topp, uint64_t seed)
{
    *s = (Sampler){.kernels = kernels, .temperature = temperature, .topp = topp, .state = seed, .vocab_size = vocab_size};
    s->nucleus = allocate(MEMORY_SAMPLER, (Extents){.vocab_size = (uint64_t)vocab_size});
    return s->nucleus != 0;
}

// In [0, 1), with the 24 bits that a float holds.
static float random_float(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    uint32_t random = (uint32_t)((*state * 0x2545f4914f6cdd1dull) >> 32);
    return (float)(int32_t)(random >> 8) / 16777216.0f;
}

static int sample_multinomial(const float *probabilities, int n, float coin)
{
    float cdf = 0.0f;
    for (int i = 0; i < n; i++) {
        cdf += probabilities[i];
        if (coin < cdf) {
            return i;
        }
    }
    return n - 1;  // the sum was rounded below the coin
}

static int by_probability(const void *context, uint32_t a, uint32_t b)
{
    const float *probabilities = context;
    return probabilities[a] > probabilities[b] ? -1 : probabilities[a] < probabilities[b];
}

// The smallest set of likeliest tokens whose probabilities add up to more than topp; one of them by the coin.
static int sample_topp(Sampler *s, const float *probabilities, float coin)
{
    uint32_t candidates = 0;
    float cutoff = (1.0f - s->topp) / (float)(s->vocab_size - 1);  // less likely ones cannot be in the set
    for (int i = 0; i < s->vocab_size; i++) {
        if (probabilities[i] >= cutoff) {
            s->nucleus[candidates++] = (uint32_t)i;
        }
    }
    if (candidates == 0) {
        return s->kernels->argmax(probabilities, s->vocab_size);
    }
    stable_sort(s->nucleus, s->nucleus + s->vocab_size, candidates, by_probability, probabilities);
    float cumulative = 0.0f;
    uint32_t last = candidates - 1;
    for (uint32_t i = 0; i < candidates; i++) {
        cumulative += probabilities[s->nucleus[i]];
        if (cumulative > s->topp) {
            last = i;
            break;
        }
    }
    float r = coin * cumulative, cdf = 0.0f;
    for (uint32_t i = 0; i <= last; i++) {
        cdf += probabilities[s->nucleus[i]];
        if (r < cdf) {
            return (int)s->nucleus[i];
        }
    }
    return (int)s->nucleus[last];
}

int sampler_sample(Sampler *s, float *logits)
{
    if (s->temperature == 0.0f) {
        return s->kernels->argmax(logits, s->vocab_size);
    }
    s->kernels->divide(logits, s->temperature, s->vocab_size);
    s->kernels->softmax(logits, s->vocab_size);
    return sampler_pick(s, logits);
}

int sampler_pick(Sampler *s, const float *probabilities)
{
    float coin = random_float(&s->state);
    if (s->topp <= 0.0f || s->topp >= 1.0f || s->vocab_size == 1) {
        return sample_multinomial(probabilities, s->vocab_size, coin);
    }
    return sample_topp(s, probabilities, coin);
}
