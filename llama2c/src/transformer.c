// The transformer's memory: the arrays of its state, and the frequencies of the rotary embedding.
#include "transformer.h"

#include "allocations.h"
#include "maths.h"

int transformer_start(Transformer *transformer)
{
    Extents p = extents_of(&transformer->config);
    Run_State *s = &transformer->state;
    char *memory = allocate(MEMORY_ACTIVATIONS, p);
    s->key_cache = allocate(MEMORY_KEY_CACHE, p);
    s->value_cache = allocate(MEMORY_VALUE_CACHE, p);
    if (!memory || !s->key_cache || !s->value_cache) {
        return 0;
    }
#define ACTIVATION(array, words)         \
    s->array = (float *)(void *)memory;  \
    memory += ARRAY(words);
#include "allocations.def"
    int head_size = (int)p.head_size;
    for (int i = 0; i < head_size / 2; i++) {
        s->rope_freq[i] = 1.0f / powf(transformer->config.rope_theta, (float)(2 * i) / (float)head_size);
    }
    return 1;
}
