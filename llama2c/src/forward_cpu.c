// The operations of the forward pass on the CPU, by the kernels of the transformer's choice; matmul rows and attention
// heads are shared out over the hardware threads.
#include "forward_cpu.h"

#include <stdint.h>

#include "allocations.h"
#include "halves.h"
#include "int8_products.h"
#include "kernels.h"
#include "maths.h"
#include "matmul.h"
#include "memory.h"
#include "operations.h"
#include "parallel.h"

typedef struct {
    const Transformer *transformer;
    const int *tokens;  // (positions)
    int pos;            // of the first token
    int positions;      // 1 to BATCH
    int wanted;         // which of them has its logits computed
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
    for (int i = 0; i < cpu->positions; i++) {
        table->type->row(x + (int64_t)i * table->n, table, cpu->tokens[i]);
    }
}

static void rmsnorm(void *machine, float *out, const float *x, const float *weight, int size)
{
    const Cpu *cpu = machine;
    for (int i = 0; i < cpu->positions; i++) {
        int64_t row = (int64_t)i * size;
        kernels(cpu)->rmsnorm(out + row, x + row, weight, size,
                              cpu->transformer->config.rms_norm_eps);
    }
}

static void multiply(void *machine, const float *x, const Projection *projections, int count)
{
    const Cpu *cpu = machine;
    const Transformer *t = cpu->transformer;
    if (!t->config.int8_activations) {
        matmul(x, projections, count, cpu->positions, t->kernel);
        return;
    }
    for (int i = 0; i < count; i++) {
        const Projection *p = &projections[i];
        matmul_int8(p->out, x, &p->w, cpu->positions, t->kernel, (Int8_Room){t->state.xq, t->state.xq_scales});
    }
}

static void rope_turn_to(const Run_State *s, int pos, int positions, int head_size)
{
    for (int i = 0; i < positions; i++) {
        float *cosines = s->rope_cos + i * (head_size / 2), *sines = s->rope_sin + i * (head_size / 2);
        for (int j = 0; j < head_size / 2; j++) {
            float angle = (float)(pos + i) * s->rope_freq[j];
            cosines[j] = cosf(angle);
            sines[j] = sinf(angle);
        }
    }
}

static void rope(void *machine, float *x, int heads)
{
    const Cpu *cpu = machine;
    const Run_State *state = &cpu->transformer->state;
    int head_size = head_size_of(&cpu->transformer->config);
    for (int i = 0; i < cpu->positions; i++) {
        int angles = i * (head_size / 2);
        kernels(cpu)->rope(x + (int64_t)i * heads * head_size, state->rope_cos + angles, state->rope_sin + angles,
                           heads, head_size);
    }
}

static inline int holds_halves(const Config *p)
{
    return p->kv_bytes == sizeof(uint16_t);
}

// A layer's cache is (n_kv_heads, seq_len, head_size): what a head reads lies together.
static void store_rows(void *machine, void *cache, const float *rows)
{
    const Cpu *cpu = machine;
    const Config *p = &cpu->transformer->config;
    int head_size = head_size_of(p);
    for (int i = 0; i < cpu->positions; i++) {
        for (int head = 0; head < p->n_kv_heads; head++, rows += head_size) {
            int64_t row = ((int64_t)head * p->seq_len + cpu->pos + i) * head_size;
            if (holds_halves(p)) {
                halves_narrow((uint16_t *)cache + row, rows, head_size);
            } else {
                memcpy((float *)cache + row, rows, (size_t)head_size * sizeof(float));
            }
        }
    }
}

enum { LEAST_SHARE = 8192 };  // multiply-adds that are worth a thread of their own

typedef struct {
    const Cpu *cpu;
    float *out;           // (positions, n_heads, head_size)
    const float *q;       // (positions, n_heads, head_size)
    const float *keys;    // (n_kv_heads, seq_len, head_size) of this layer
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
        int64_t cached = (int64_t)(h / kv_mul) * p->seq_len * head_size;  // this head's keys and values
        for (int i = 0; i < a->cpu->positions; i++) {
            int64_t own = (int64_t)i * p->dim + h * head_size;  // this head's part of q at the position
            kernels(a->cpu)->attend(a->out + own, att + h * stride, a->q + own, a->keys + cached,
                                    a->values + cached, a->cpu->pos + i + 1, head_size);
        }
    }
}

typedef struct {
    const uint16_t *keys, *values;
    float *wide_keys, *wide_values;
    int rows;  // of each head
    int seq_len, head_size;
} Widening;

// The rows of all heads, numbered through.
static void widen_rows(const void *context, int start, int end)
{
    const Widening *w = context;
    for (int head = start / w->rows, row = start % w->rows; start < end; head++, row = 0) {
        int here = w->rows - row < end - start ? w->rows - row : end - start;
        int64_t first = ((int64_t)head * w->seq_len + row) * w->head_size;
        halves_widen(w->wide_keys + first, w->keys + first, here * w->head_size);
        halves_widen(w->wide_values + first, w->values + first, here * w->head_size);
        start += here;
    }
}

static void share_attention(void *machine, float *out, const float *q, const void *keys, const void *values)
{
    const Cpu *cpu = machine;
    const Config *p = &cpu->transformer->config;
    Attention attention = {cpu, out, q, keys, values};
    if (holds_halves(p)) {
        const Run_State *s = &cpu->transformer->state;
        int head_size = head_size_of(p), rows = cpu->pos + cpu->positions;
        Widening widening = {keys, values, s->keys, s->values, rows, p->seq_len, head_size};
        parallel_for(p->n_kv_heads * rows, LEAST_SHARE / head_size + 1, widen_rows, &widening);
        attention.keys = s->keys;
        attention.values = s->values;
    }
    int64_t work = (int64_t)2 * (cpu->pos + 1) * head_size_of(p) * cpu->positions;  // of a head, at least
    int grain = (int)(LEAST_SHARE / work) + 1;
    parallel_for(p->n_heads, grain, attend_heads, &attention);
}

// Position by position, so that a kernel does the same with an item wherever its position stands in the batch.
static void swiglu(void *machine, float *hb, const float *hb2, int size)
{
    const Cpu *cpu = machine;
    for (int i = 0; i < cpu->positions; i++) {
        int64_t row = (int64_t)i * size;
        kernels(cpu)->swiglu(hb + row, hb2 + row, size);
    }
}

static void add(void *machine, float *x, const float *y, int size)
{
    const Cpu *cpu = machine;
    for (int i = 0; i < cpu->positions; i++) {
        int64_t row = (int64_t)i * size;
        kernels(cpu)->add(x + row, y + row, size);
    }
}

static void take_row(void *machine, float *out, const float *x, int size)
{
    const Cpu *cpu = machine;
    memcpy(out, x + (int64_t)cpu->wanted * size, (size_t)size * sizeof(float));
}

static const Operations COMPUTE = {
    .embed = embed,
    .rmsnorm = rmsnorm,
    .matmul = multiply,
    .rope = rope,
    .store_rows = store_rows,
    .attend = share_attention,
    .swiglu = swiglu,
    .add = add,
    .take_row = take_row,
};

void forward_cpu(const Transformer *transformer, const int *tokens, int positions, int pos)
{
    Cpu cpu = {.transformer = transformer, .tokens = tokens, .pos = pos, .positions = positions};
    rope_turn_to(&transformer->state, pos, positions, head_size_of(&transformer->config));
    forward(&COMPUTE, &cpu, transformer);
}

float *classify_cpu(const Transformer *transformer, int wanted)
{
    Cpu cpu = {.transformer = transformer, .positions = 1, .wanted = wanted};
    classify(&COMPUTE, &cpu, transformer);
    return transformer->state.logits;
}

void forward_cpu_through(const Transformer *transformer, const int *tokens, int positions, int pos, Through *through,
                         void *context)
{
    Cpu cpu = {.transformer = transformer, .tokens = tokens, .pos = pos, .positions = positions};
    rope_turn_to(&transformer->state, pos, positions, head_size_of(&transformer->config));
    through(&COMPUTE, &cpu, transformer, context);
}

void classify_cpu_through(const Transformer *transformer, int wanted, Through *through, void *context)
{
    Cpu cpu = {.transformer = transformer, .positions = 1, .wanted = wanted};
    through(&COMPUTE, &cpu, transformer, context);
}
