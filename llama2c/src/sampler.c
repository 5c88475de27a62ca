// Picks the next token: argmax, multinomial or top-p, with llama2.c's xorshift* generator (Vigna, 2016).
#include "sampler.h"

#include "allocations.h"
#include "sort.h"

int sampler_start(Sampler *s, const Kernels *kernels, int vocab_size, Sampling how, uint64_t seed)
{
    *s = (Sampler){.kernels = kernels, .how = how, .state = seed, .vocab_size = vocab_size};
    s->nucleus = allocate(MEMORY_SAMPLER, (Extents){.vocab_size = (uint64_t)vocab_size});
    return s->nucleus != 0;
}

void sampler_forget(Sampler *s, const int *tokens, int n)
{
    s->seen = 0;
    for (int i = n > REPEAT_WINDOW ? n - REPEAT_WINDOW : 0; i < n; i++) {
        sampler_accept(s, tokens[i]);
    }
}

void sampler_accept(Sampler *s, int token)
{
    s->recent[s->seen++ % REPEAT_WINDOW] = token;
}

static void penalise(const Sampler *s, float *logits)
{
    int n = s->seen < REPEAT_WINDOW ? (int)s->seen : REPEAT_WINDOW;
    for (int i = 0; i < n; i++) {
        int token = s->recent[i], first = 0;
        while (s->recent[first] != token) {
            first++;
        }
        if (first == i) {  // each once, however often it was said
            float logit = logits[token];
            logits[token] = logit > 0.0f ? logit / s->how.repeat_penalty : logit * s->how.repeat_penalty;
        }
    }
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

// The smallest set of likeliest tokens whose probabilities add up to more than topp, without those below min-p's bound;
// one of them by the coin.
static int sample_topp(Sampler *s, const float *probabilities, float topp, float coin)
{
    uint32_t candidates = 0;
    float cutoff = (1.0f - topp) / (float)(s->vocab_size - 1);  // less likely ones cannot be in the set
    if (s->how.min_p > 0.0f) {
        float bound = s->how.min_p * probabilities[s->kernels->argmax(probabilities, s->vocab_size)];
        cutoff = bound > cutoff ? bound : cutoff;
    }
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
        if (cumulative > topp) {
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
    if (s->how.repeat_penalty != 1.0f) {
        penalise(s, logits);
    }
    if (s->how.temperature == 0.0f) {
        return s->kernels->argmax(logits, s->vocab_size);
    }
    s->kernels->divide(logits, s->how.temperature, s->vocab_size);
    s->kernels->softmax(logits, s->vocab_size);
    return sampler_pick(s, logits);
}

int sampler_pick(Sampler *s, const float *probabilities)
{
    float coin = random_float(&s->state);
    int nucleus = s->how.topp > 0.0f && s->how.topp < 1.0f;
    if ((!nucleus && !(s->how.min_p > 0.0f)) || s->vocab_size == 1) {
        return sample_multinomial(probabilities, s->vocab_size, coin);
    }
    return sample_topp(s, probabilities, nucleus ? s->how.topp : 1.0f, coin);
}
