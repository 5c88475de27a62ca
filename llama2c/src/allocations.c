// The guest's allocations: the rows of allocations.def, asked of the platform.
#include "allocations.h"

#include "platform.h"

static const char *const NAMES[] = {
#define ALLOCATION(identifier, name, users, condition, bytes) name,
#include "allocations.def"
};

static uint64_t sum_ACTIVATION(Extents p)
{
    uint64_t bytes = 0;
#define ACTIVATION(array, words) bytes += ARRAY(words);
#include "allocations.def"
    return bytes;
}

static uint64_t sum_GPU_VECTOR(Extents p)
{
    uint64_t bytes = 0;
#define GPU_VECTOR(array, words) bytes += ARRAY(words);
#include "allocations.def"
    return bytes;
}

static uint64_t sum_GPU_BUFFER(Extents p)
{
    uint64_t bytes = 0;
#define GPU_BUFFER(array, words) bytes += ARRAY(words);
#include "allocations.def"
    return bytes;
}

#define SUM(kind) sum_##kind(p)

static uint64_t bytes_of(Allocation allocation, Extents p)
{
    switch (allocation) {
#define ALLOCATION(identifier, name, users, condition, bytes) \
    case MEMORY_##identifier: \
        return bytes;
#include "allocations.def"
    }
    return 0;
}

Extents extents_of(const Config *config)
{
    uint64_t head_size = (uint64_t)(config->dim / config->n_heads);
    return (Extents){
        .dim = (uint64_t)config->dim,
        .hidden_dim = (uint64_t)config->hidden_dim,
        .n_layers = (uint64_t)config->n_layers,
        .n_heads = (uint64_t)config->n_heads,
        .n_kv_heads = (uint64_t)config->n_kv_heads,
        .head_size = head_size,
        .kv_dim = head_size * (uint64_t)config->n_kv_heads,
        .vocab_size = (uint64_t)config->vocab_size,
        .seq_len = (uint64_t)config->seq_len,
        .kv_bytes = (uint64_t)config->kv_bytes,
        .int8_activations = (uint64_t)config->int8_activations,
    };
}

void *allocate(Allocation allocation, Extents p)
{
    return platform_allocate(NAMES[allocation], bytes_of(allocation, p));
}
