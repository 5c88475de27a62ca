// The operations of the forward pass on the CPU, by the kernels of the transformer's choice; matmul rows and attention
// heads are shared out over the hardware threads.
#include "forward_cpu.h"

#include <stdint.h>

#include "allocations.h"
#include "kernels.h"
#include "maths.h"
#include "matmul.h"
#include "operations.h"
#include "parallel.h"

typedef struct {
    Transformer *transformer;
    int token;
    int pos;
} Cpu;

static inline int head_size_of(const Config *p)
{
    return p->dim / p->n_heads;
}

static inline const Kernels *kernels(const Cpu *cpu)
{
    return kernels_of(cpu->transformer->kernel);
}

static void embed(void *machine, float *x, const Matrix *table)
{
    const Cpu *cpu = machine;
    table->type->row(x, table, cpu->token);
}

static void rmsnorm(void *machine, float *out, const float *x, const float *weight, int size)
{
    kernels(machine)->rmsnorm(out, x, weight, size);
}

static void multiply(void *machine, float *out, const float *x, const Matrix *w)
{
    const Cpu *cpu = machine;
    matmul(out, x, w, cpu->transformer->kernel);
}

static void rope_turn_to(Run_State *s, int pos, int head_size)
{
    for (int i = 0; i < head_size / 2; i++) {
        float angle = (float)pos * s->rope_freq[i];
        s->rope_cos[i] = cosf(angle);
        s->rope_sin[i] = sinf(angle);
    }
}

static void rope(void *machine, float *x, int heads)
{
    const Cpu *cpu = machine;
    const Run_State *state = &cpu->transformer->state;
    kernels(cpu)->rope(x, state->rope_cos, state->rope_sin, heads, head_size_of(&cpu->transformer->config));
}

// In the cache itself, where store_row then has nothing to do.
static float *cache_row(void *machine, float *cache, float *vector)
{
    (void)vector;
    const Cpu *cpu = machine;
    const Config *p = &cpu->transformer->config;
    return cache + (int64_t)cpu->pos * head_size_of(p) * p->n_kv_heads;
}

static void store_row(void *machine, float *cache, const float *row)
{
    (void)machine;
    (void)cache;
    (void)row;
}

enum { LEAST_SHARE = 16384 };  // multiply-adds that are worth a thread of their own

typedef struct {
    const Cpu *cpu;
    float *out;           // (n_heads, head_size)
    const float *q;       // (n_heads, head_size)
    const float *keys;    // (seq_len, n_kv_heads, head_size) of this layer
    const float *values;
} Attention;

static void attend_heads(const void *context, int start, int end)
{
    const Attention *a = context;
    const Config *p = &a->cpu->transformer->config;
    float *att = a->cpu->transformer->state.att;
    int head_size = head_size_of(p);
    int64_t stride = FOURS((int64_t)p->seq_len);
    int kv_mul = p->n_heads / p->n_kv_heads;  // query heads to one key and value head
    for (int h = start; h < end; h++) {
        int head = h / kv_mul * head_size;  // this head's part of k and v
        kernels(a->cpu)->attend(a->out + h * head_size, att + h * stride, a->q + h * head_size,
                                a->keys + head, a->values + head, a->cpu->pos + 1, head_size,
                                head_size * p->n_kv_heads);
    }
}

static void share_attention(void *machine, float *out, const float *q, const float *keys, const float *values)
{
    const Cpu *cpu = machine;
    const Config *p = &cpu->transformer->config;
    Attention attention = {cpu, out, q, keys, values};
    int grain = LEAST_SHARE / (2 * (cpu->pos + 1) * head_size_of(p)) + 1;
    parallel_for(p->n_heads, grain, attend_heads, &attention);
}

static void swiglu(void *machine, float *hb, const float *hb2, int size)
{
    kernels(machine)->swiglu(hb, hb2, size);
}

static void add(void *machine, float *x, const float *y, int size)
{
    kernels(machine)->add(x, y, size);
}

static const Operations COMPUTE = {
    .embed = embed,
    .rmsnorm = rmsnorm,
    .matmul = multiply,
    .rope = rope,
    .cache_row = cache_row,
    .store_row = store_row,
    .attend = share_attention,
    .swiglu = swiglu,
    .add = add,
};

float *forward_cpu(Transformer *transformer, int token, int pos)
{
    Cpu cpu = {transformer, token, pos};
    rope_turn_to(&transformer->state, pos, head_size_of(&transformer->config));
    forward(&COMPUTE, &cpu, transformer);
    return transformer->state.logits;
}
