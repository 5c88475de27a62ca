// The forward pass on the GPU: the same steps as transformer.c, each of them one draw of a program (docs/gpu.md has
// their constants). Nothing in the command buffer changes from token to token: token and position are constants.
#include "forward_gpu.h"

#include "memory.h"
#include "platform.h"
#include "text.h"

enum { MATMUL, EMBEDDING, STORE_ROW, RMSNORM, ROPE, ATTENTION, SWIGLU, ADD, SOFTMAX, ARGMAX, PROGRAMS };
static const char *const NAMES[PROGRAMS] = {"matmul", "embedding", "store_row", "rmsnorm", "rope",
                                            "attention", "swiglu", "add", "softmax", "argmax"};
enum { EPSILON = 0, TEMPERATURE = 1 };  // float constants
enum { TOKEN = 30, POSITION = 31 };     // loop constants
enum { MOST_PIECES = 8 };               // of the embedding table

static uint64_t lines(uint64_t words)
{
    return (words * 4 + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

static int complain(const char *what)
{
    print(STANDARD_ERROR, "error: -g: %s\n", what);
    return 0;
}

typedef struct {
    Commands *commands;
    const uint32_t *programs;
} Recorder;

static void shape(Recorder *r, int index, int value)
{
    gpu_constant(r->commands, GPU_LOOP, index, (uint32_t)value);
}

static void draw(Recorder *r, int program)
{
    gpu_draw(r->commands, r->programs + program * GPU_PROGRAM_WORDS);
}

// out (d) = w (d, n) x (n), in as many draws as fetch constants need to describe w
static void matmul_gpu(Recorder *r, float *out, const float *x, const float *w, int n, int d)
{
    int most = GPU_MOST_WORDS / n;
    for (int row = 0; row < d; row += most) {
        int rows = d - row < most ? d - row : most;
        gpu_array(r->commands, 0, out + row, (uint64_t)rows);
        gpu_array(r->commands, 1, w + (int64_t)row * n, (uint64_t)rows * (uint64_t)n);
        gpu_array(r->commands, 2, x, (uint64_t)n);
        shape(r, 0, n);
        shape(r, 1, rows);
        draw(r, MATMUL);
    }
}

// A program with three vectors of the same size.
static void vectors(Recorder *r, int program, float *out, const float *x, const float *y, int n)
{
    gpu_array(r->commands, 0, out, (uint64_t)n);
    gpu_array(r->commands, 1, x, (uint64_t)n);
    gpu_array(r->commands, 2, y, (uint64_t)n);
    shape(r, 0, n);
    draw(r, program);
}

static void embed(Recorder *r, float *x, const float *table, int dim, int rows)
{
    int most = GPU_MOST_WORDS / dim, pieces = 0;
    for (int row = 0; row < rows; row += most) {
        uint64_t count = (uint64_t)(rows - row < most ? rows - row : most) * (uint64_t)dim;
        gpu_array(r->commands, 1 + pieces++, table + (int64_t)row * dim, count);
    }
    gpu_array(r->commands, 0, x, (uint64_t)dim);
    shape(r, 0, dim);
    shape(r, 1, rows);
    shape(r, 2, most);
    draw(r, EMBEDDING);
}

static void store_row(Recorder *r, float *table, const float *x, int n, int rows)
{
    gpu_array(r->commands, 0, table, (uint64_t)n * (uint64_t)rows);
    gpu_array(r->commands, 1, x, (uint64_t)n);
    shape(r, 0, n);
    shape(r, 1, rows);
    draw(r, STORE_ROW);
}

static void rope_gpu(Recorder *r, float *x, const float *angles, int head_size, int heads)
{
    gpu_array(r->commands, 0, x, (uint64_t)head_size * (uint64_t)heads);
    gpu_array(r->commands, 1, angles, (uint64_t)head_size / 2);
    shape(r, 0, head_size);
    shape(r, 1, heads);
    draw(r, ROPE);
}

static void attend_gpu(Recorder *r, const Config *p, float *out, const float *q, const float *keys, const float *values)
{
    int head_size = p->dim / p->n_heads;
    uint64_t cache = (uint64_t)p->seq_len * (uint64_t)head_size * (uint64_t)p->n_kv_heads;
    gpu_array(r->commands, 0, out, (uint64_t)p->dim);
    gpu_array(r->commands, 1, q, (uint64_t)p->dim);
    gpu_array(r->commands, 2, keys, cache);
    gpu_array(r->commands, 3, values, cache);
    shape(r, 0, head_size);
    shape(r, 1, p->n_heads);
    shape(r, 2, p->n_kv_heads);
    shape(r, 3, p->seq_len);
    draw(r, ATTENTION);
}

static void record_forward(Recorder *r, const Forward_Gpu *engine, const Transformer *transformer)
{
    const Config *p = &transformer->config;
    const Weights *w = &transformer->weights;
    const Run_State *s = &transformer->state;
    int dim = p->dim, hidden_dim = p->hidden_dim;
    int head_size = dim / p->n_heads;
    int kv_dim = head_size * p->n_kv_heads;

    gpu_float_constant(r->commands, EPSILON, 1e-5f);
    embed(r, s->x, w->token_embedding_table, dim, p->vocab_size);
    for (int64_t l = 0; l < p->n_layers; l++) {
        // Attention: q, k and v of this position; k and v go into the cache.
        float *keys = s->key_cache + l * p->seq_len * kv_dim;
        float *values = s->value_cache + l * p->seq_len * kv_dim;
        vectors(r, RMSNORM, s->xb, s->x, w->rms_att_weight + l * dim, dim);
        matmul_gpu(r, s->q, s->xb, w->wq + l * dim * dim, dim, dim);
        matmul_gpu(r, engine->k, s->xb, w->wk + l * dim * kv_dim, dim, kv_dim);
        matmul_gpu(r, engine->v, s->xb, w->wv + l * dim * kv_dim, dim, kv_dim);
        rope_gpu(r, s->q, s->rope_freq, head_size, p->n_heads);
        rope_gpu(r, engine->k, s->rope_freq, head_size, p->n_kv_heads);
        store_row(r, keys, engine->k, kv_dim, p->seq_len);
        store_row(r, values, engine->v, kv_dim, p->seq_len);
        attend_gpu(r, p, s->xb, s->q, keys, values);
        matmul_gpu(r, s->xb2, s->xb, w->wo + l * dim * dim, dim, dim);
        vectors(r, ADD, s->x, s->x, s->xb2, dim);

        // Feed-forward: w2(silu(w1 x) * w3 x)
        vectors(r, RMSNORM, s->xb, s->x, w->rms_ffn_weight + l * dim, dim);
        matmul_gpu(r, s->hb, s->xb, w->w1 + l * dim * hidden_dim, dim, hidden_dim);
        matmul_gpu(r, s->hb2, s->xb, w->w3 + l * dim * hidden_dim, dim, hidden_dim);
        vectors(r, SWIGLU, s->hb, s->hb, s->hb2, hidden_dim);
        matmul_gpu(r, s->xb, s->hb, w->w2 + l * dim * hidden_dim, hidden_dim, dim);
        vectors(r, ADD, s->x, s->x, s->xb, dim);
    }
    vectors(r, RMSNORM, s->x, s->x, w->rms_final_weight, dim);
    matmul_gpu(r, s->logits, s->x, w->wcls, dim, p->vocab_size);
}

static void record_pick(Recorder *r, int program, void *out, int out_words, const float *logits, int vocab_size)
{
    gpu_array(r->commands, 0, out, (uint64_t)out_words);
    gpu_array(r->commands, 1, logits, (uint64_t)vocab_size);
    shape(r, 0, vocab_size);
    draw(r, program);
}

// All three buffers, to where they stand; without words, only their sizes.
static void record(Forward_Gpu *engine, const Transformer *transformer)
{
    const float *logits = transformer->state.logits;
    int vocab_size = transformer->config.vocab_size;
    engine->forward.count = engine->softmax.count = engine->argmax.count = 0;
    record_forward(&(Recorder){&engine->forward, engine->programs}, engine, transformer);
    record_pick(&(Recorder){&engine->softmax, engine->programs}, SOFTMAX, engine->probabilities, vocab_size, logits,
                vocab_size);
    record_pick(&(Recorder){&engine->argmax, engine->programs}, ARGMAX, engine->likeliest, 1, logits, vocab_size);
}

static int fits(const Config *p)
{
    uint64_t cache = (uint64_t)p->seq_len * (uint64_t)(p->dim / p->n_heads) * (uint64_t)p->n_kv_heads;
    if (cache > GPU_MOST_WORDS) {
        return complain("a layer's key cache is larger than a fetch constant can describe");
    }
    if ((uint64_t)p->vocab_size > MOST_PIECES * (uint64_t)(GPU_MOST_WORDS / p->dim)) {
        return complain("the embedding table is larger than eight fetch constants can describe");
    }
    return 1;
}

int forward_gpu_start(Forward_Gpu *engine, const Transformer *transformer)
{
    const Config *p = &transformer->config;
    uint64_t kv_dim = (uint64_t)(p->dim / p->n_heads) * (uint64_t)p->n_kv_heads;
    *engine = (Forward_Gpu){.forward = {0}};
    if (!fits(p)) {
        return 0;
    }
    int started = gpu_start(&engine->gpu);
    if (started <= 0) {
        return complain(started ? "no memory is free for the ring buffer" : "this machine has no GPU");
    }
    char *memory = platform_allocate("gpu vectors", 2 * lines(kv_dim) + lines((uint64_t)p->vocab_size) + CACHE_LINE);
    record(engine, transformer);
    uint64_t parts[] = {lines(engine->forward.count), lines(engine->softmax.count), lines(engine->argmax.count),
                        lines(PROGRAMS * GPU_PROGRAM_WORDS)};
    char *buffers = platform_allocate("gpu command buffers", parts[0] + parts[1] + parts[2] + parts[3]);
    if (!memory || !buffers || engine->forward.count > GPU_MOST_COMMANDS) {
        return complain(memory && buffers ? "too many layers for a command buffer" : "no memory is free for it");
    }
    engine->k = (float *)(void *)memory;
    engine->v = (float *)(void *)(memory + lines(kv_dim));
    engine->probabilities = (float *)(void *)(memory + 2 * lines(kv_dim));
    engine->likeliest = (uint32_t *)(void *)(memory + 2 * lines(kv_dim) + lines((uint64_t)p->vocab_size));
    engine->forward.words = (uint32_t *)(void *)buffers;
    engine->softmax.words = (uint32_t *)(void *)(buffers + parts[0]);
    engine->argmax.words = (uint32_t *)(void *)(buffers + parts[0] + parts[1]);
    engine->programs = (uint32_t *)(void *)(buffers + parts[0] + parts[1] + parts[2]);
    for (int i = 0; i < PROGRAMS; i++) {
        gpu_name_program(engine->programs + i * GPU_PROGRAM_WORDS, NAMES[i]);
    }
    record(engine, transformer);
    gpu_invalidate(&engine->gpu);
    return 1;
}

static int run(Forward_Gpu *engine, const Commands *commands)
{
    gpu_call(&engine->gpu, commands);
    return gpu_finish(&engine->gpu) || complain("the GPU does not answer");
}

float *forward_gpu(Forward_Gpu *engine, const Transformer *transformer, int token, int pos)
{
    gpu_set(&engine->gpu, GPU_LOOP, TOKEN, (uint32_t)token);
    gpu_set(&engine->gpu, GPU_LOOP, POSITION, (uint32_t)pos);
    return run(engine, &engine->forward) ? transformer->state.logits : 0;
}

float *forward_gpu_softmax(Forward_Gpu *engine, float temperature)
{
    gpu_set_float(&engine->gpu, TEMPERATURE, temperature);
    return run(engine, &engine->softmax) ? engine->probabilities : 0;
}

int forward_gpu_argmax(Forward_Gpu *engine)
{
    return run(engine, &engine->argmax) ? (int)*(volatile uint32_t *)engine->likeliest : -1;
}
