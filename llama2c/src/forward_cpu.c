// The operations of the forward pass as scalar code and, for matmul, the vector unit; matmul rows and attention heads are
// shared out over the hardware threads.
#include "forward_cpu.h"

#include <stdint.h>

#include "maths.h"
#include "matmul.h"
#include "memory.h"
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

static void embed(void *machine, float *x, const Matrix *table)
{
    const Cpu *cpu = machine;
    table->type->row(x, table, cpu->token);
}

static void rmsnorm(void *machine, float *out, const float *x, const float *weight, int size)
{
    (void)machine;
    float ss = 0.0f;
    for (int j = 0; j < size; j++) {
        ss += x[j] * x[j];
    }
    ss /= (float)size;
    ss += EPSILON;
    ss = 1.0f / sqrtf(ss);
    for (int j = 0; j < size; j++) {
        out[j] = weight[j] * (ss * x[j]);
    }
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
    const Run_State *s = &cpu->transformer->state;
    int head_size = head_size_of(&cpu->transformer->config);
    for (int i = 0; i < heads * head_size; i += 2) {
        int pair = (i % head_size) / 2;
        float x0 = x[i], x1 = x[i + 1];
        x[i] = x0 * s->rope_cos[pair] - x1 * s->rope_sin[pair];
        x[i + 1] = x0 * s->rope_sin[pair] + x1 * s->rope_cos[pair];
    }
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

void softmax(float *x, int size)
{
    float max_val = x[0];
    for (int i = 1; i < size; i++) {
        if (x[i] > max_val) {
            max_val = x[i];
        }
    }
    float sum = 0.0f;
    for (int i = 0; i < size; i++) {
        x[i] = expf(x[i] - max_val);
        sum += x[i];
    }
    for (int i = 0; i < size; i++) {
        x[i] /= sum;
    }
}

// xb (head_size) = the values up to pos, weighted by the softmax of q . k / sqrt(head_size); att (seq_len) is scratch.
// keys and values (pos + 1, kv_dim) start at this head's part of the first position.
static void attend(float *xb, float *att, const float *q, const float *keys, const float *values, int pos,
                   int head_size, int kv_dim)
{
    for (int t = 0; t <= pos; t++) {
        const float *k = keys + (int64_t)t * kv_dim;
        float score = 0.0f;
        for (int i = 0; i < head_size; i++) {
            score += q[i] * k[i];
        }
        att[t] = score / sqrtf((float)head_size);
    }
    softmax(att, pos + 1);
    memset(xb, 0, (size_t)head_size * sizeof(float));
    for (int t = 0; t <= pos; t++) {
        const float *v = values + (int64_t)t * kv_dim;
        for (int i = 0; i < head_size; i++) {
            xb[i] += att[t] * v[i];
        }
    }
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
    int kv_mul = p->n_heads / p->n_kv_heads;  // query heads to one key and value head
    for (int h = start; h < end; h++) {
        int head = h / kv_mul * head_size;  // this head's part of k and v
        attend(a->out + h * head_size, att + (int64_t)h * p->seq_len, a->q + h * head_size, a->keys + head,
               a->values + head, a->cpu->pos, head_size, head_size * p->n_kv_heads);
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
    (void)machine;
    for (int i = 0; i < size; i++) {
        float val = hb[i];
        val *= 1.0f / (1.0f + expf(-val));
        hb[i] = val * hb2[i];
    }
}

static void add(void *machine, float *x, const float *y, int size)
{
    (void)machine;
    for (int i = 0; i < size; i++) {
        x[i] += y[i];
    }
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
