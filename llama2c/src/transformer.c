// The forward pass of Llama 2 (Touvron et al., 2023), one token at a time, in llama2.c's order of operations.
#include "transformer.h"

#include <stdint.h>

#include "maths.h"
#include "memory.h"
#include "parallel.h"
#include "platform.h"

static uint64_t floats(uint64_t count)
{
    return (count * sizeof(float) + CACHE_LINE - 1) & ~(uint64_t)(CACHE_LINE - 1);
}

int transformer_start(Transformer *transformer)
{
    const Config *p = &transformer->config;
    Run_State *s = &transformer->state;
    uint64_t dim = (uint64_t)p->dim, hidden_dim = (uint64_t)p->hidden_dim, head_size = dim / (uint64_t)p->n_heads;
    uint64_t kv_dim = head_size * (uint64_t)p->n_kv_heads;
    uint64_t cache = floats((uint64_t)p->n_layers * (uint64_t)p->seq_len * kv_dim);
    struct {
        float **place;
        uint64_t size;
    } parts[] = {
        {&s->x, floats(dim)},
        {&s->xb, floats(dim)},
        {&s->xb2, floats(dim)},
        {&s->hb, floats(hidden_dim)},
        {&s->hb2, floats(hidden_dim)},
        {&s->q, floats(dim)},
        {&s->att, floats((uint64_t)p->n_heads * (uint64_t)p->seq_len)},
        {&s->logits, floats((uint64_t)p->vocab_size)},
        {&s->rope_freq, floats(head_size / 2)},
        {&s->rope_cos, floats(head_size / 2)},
        {&s->rope_sin, floats(head_size / 2)},
    };
    int n_parts = (int)(sizeof parts / sizeof parts[0]);
    uint64_t activations = 0;
    for (int i = 0; i < n_parts; i++) {
        activations += parts[i].size;
    }
    char *memory = platform_allocate("activations", activations);
    s->key_cache = platform_allocate("key cache", cache);
    s->value_cache = platform_allocate("value cache", cache);
    if (!memory || !s->key_cache || !s->value_cache) {
        return 0;
    }
    for (int i = 0; i < n_parts; i++) {
        *parts[i].place = (float *)(void *)memory;
        memory += parts[i].size;
    }
    for (int i = 0; i < (int)(head_size / 2); i++) {
        s->rope_freq[i] = 1.0f / powf(10000.0f, (float)(2 * i) / (float)head_size);
    }
    return 1;
}

// o (size) = x / rms(x) * weight, the epsilon being 1e-5
static void rmsnorm(float *o, const float *x, const float *weight, int size)
{
    float ss = 0.0f;
    for (int j = 0; j < size; j++) {
        ss += x[j] * x[j];
    }
    ss /= (float)size;
    ss += 1e-5f;
    ss = 1.0f / sqrtf(ss);
    for (int j = 0; j < size; j++) {
        o[j] = weight[j] * (ss * x[j]);
    }
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

static void rope_turn_to(Run_State *s, int pos, int head_size)
{
    for (int i = 0; i < head_size / 2; i++) {
        float angle = (float)pos * s->rope_freq[i];
        s->rope_cos[i] = cosf(angle);
        s->rope_sin[i] = sinf(angle);
    }
}

// Turns every neighbouring pair of every head in v (size) by its angle.
static void rope(const Run_State *s, float *v, int size, int head_size)
{
    for (int i = 0; i < size; i += 2) {
        int pair = (i % head_size) / 2;
        float v0 = v[i], v1 = v[i + 1];
        v[i] = v0 * s->rope_cos[pair] - v1 * s->rope_sin[pair];
        v[i + 1] = v0 * s->rope_sin[pair] + v1 * s->rope_cos[pair];
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
    const Config *config;
    Run_State *state;
    const float *keys;    // (seq_len, kv_dim) of this layer
    const float *values;
    int pos;
} Attention;

static void attend_heads(const void *context, int start, int end)
{
    const Attention *a = context;
    const Config *p = a->config;
    Run_State *s = a->state;
    int head_size = p->dim / p->n_heads;
    int kv_mul = p->n_heads / p->n_kv_heads;  // query heads to one key and value head
    for (int h = start; h < end; h++) {
        int head = h / kv_mul * head_size;  // this head's part of k and v
        attend(s->xb + h * head_size, s->att + (int64_t)h * p->seq_len, s->q + h * head_size, a->keys + head,
               a->values + head, a->pos, head_size, head_size * p->n_kv_heads);
    }
}

static void add(float *x, const float *y, int size)
{
    for (int i = 0; i < size; i++) {
        x[i] += y[i];
    }
}

// hb (size) = silu(hb) * hb2
static void swiglu(float *hb, const float *hb2, int size)
{
    for (int i = 0; i < size; i++) {
        float val = hb[i];
        val *= 1.0f / (1.0f + expf(-val));
        hb[i] = val * hb2[i];
    }
}

float *transformer_forward(Transformer *transformer, int token, int pos)
{
    const Config *p = &transformer->config;
    const Weights *w = &transformer->weights;
    Run_State *s = &transformer->state;
    Kernel kernel = transformer->kernel;
    int dim = p->dim, hidden_dim = p->hidden_dim;
    int head_size = dim / p->n_heads;
    int kv_dim = head_size * p->n_kv_heads;

    memcpy(s->x, w->token_embedding_table + (int64_t)token * dim, (size_t)dim * sizeof(float));
    rope_turn_to(s, pos, head_size);

    for (int64_t l = 0; l < p->n_layers; l++) {
        // Attention: q, k and v of this position; k and v go straight into the cache.
        float *keys = s->key_cache + l * p->seq_len * kv_dim;
        float *values = s->value_cache + l * p->seq_len * kv_dim;
        float *k = keys + (int64_t)pos * kv_dim;
        float *v = values + (int64_t)pos * kv_dim;
        rmsnorm(s->xb, s->x, w->rms_att_weight + l * dim, dim);
        matmul(s->q, s->xb, w->wq + l * dim * dim, dim, dim, kernel);
        matmul(k, s->xb, w->wk + l * dim * kv_dim, dim, kv_dim, kernel);
        matmul(v, s->xb, w->wv + l * dim * kv_dim, dim, kv_dim, kernel);
        rope(s, s->q, dim, head_size);
        rope(s, k, kv_dim, head_size);
        Attention attention = {p, s, keys, values, pos};
        parallel_for(p->n_heads, LEAST_SHARE / (2 * (pos + 1) * head_size) + 1, attend_heads, &attention);
        matmul(s->xb2, s->xb, w->wo + l * dim * dim, dim, dim, kernel);
        add(s->x, s->xb2, dim);

        // Feed-forward: w2(silu(w1 x) * w3 x)
        rmsnorm(s->xb, s->x, w->rms_ffn_weight + l * dim, dim);
        matmul(s->hb, s->xb, w->w1 + l * dim * hidden_dim, dim, hidden_dim, kernel);
        matmul(s->hb2, s->xb, w->w3 + l * dim * hidden_dim, dim, hidden_dim, kernel);
        swiglu(s->hb, s->hb2, hidden_dim);
        matmul(s->xb, s->hb, w->w2 + l * dim * hidden_dim, hidden_dim, dim, kernel);
        add(s->x, s->xb, dim);
    }

    rmsnorm(s->x, s->x, w->rms_final_weight, dim);
    matmul(s->logits, s->x, w->wcls, dim, p->vocab_size, kernel);
    return s->logits;
}
