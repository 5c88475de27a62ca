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
enum { MOST_PIECES = 8, MOST_SCORES = 1 << 24 };  // of the embedding table; of a layer's attention

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

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

// One draw; arrays and shapes are C arrays of their own length.
#define DRAW(r, program, arrays, shapes)                                                                     \
    gpu_draw((r)->commands, (r)->programs + (program) * GPU_PROGRAM_WORDS, arrays, COUNT(arrays), shapes, COUNT(shapes))

// out (d) = w (d, n) x (n), in as many draws as fetch constants need to describe w
static void matmul_gpu(Recorder *r, float *out, const float *x, const float *w, int n, int d)
{
    int most = GPU_MOST_WORDS / n;
    for (int row = 0; row < d; row += most) {
        int rows = d - row < most ? d - row : most;
        const float *part = w + (int64_t)row * n;
        Gpu_Array arrays[] = {{out + row, (uint64_t)rows}, {part, (uint64_t)rows * (uint64_t)n}, {x, (uint64_t)n}};
        int shapes[] = {n, rows};
        DRAW(r, MATMUL, arrays, shapes);
    }
}

// A program with three vectors of the same size.
static void vectors(Recorder *r, int program, float *out, const float *x, const float *y, int n)
{
    Gpu_Array arrays[] = {{out, (uint64_t)n}, {x, (uint64_t)n}, {y, (uint64_t)n}};
    int shapes[] = {n};
    DRAW(r, program, arrays, shapes);
}

// x (dim) = the token's row of the table (rows, dim), which may need several fetch constants
static void embed(Recorder *r, float *x, const float *table, int dim, int rows)
{
    Gpu_Array arrays[1 + MOST_PIECES] = {{x, (uint64_t)dim}};
    int most = GPU_MOST_WORDS / dim, pieces = 0;
    for (int row = 0; row < rows; row += most) {
        uint64_t count = (uint64_t)(rows - row < most ? rows - row : most) * (uint64_t)dim;
        arrays[1 + pieces++] = (Gpu_Array){table + (int64_t)row * dim, count};
    }
    int shapes[] = {dim, rows, most};
    gpu_draw(r->commands, r->programs + EMBEDDING * GPU_PROGRAM_WORDS, arrays, 1 + pieces, shapes, COUNT(shapes));
}

// The row of this position of table (rows, n) = x (n)
static void store_row(Recorder *r, float *table, const float *x, int n, int rows)
{
    Gpu_Array arrays[] = {{table, (uint64_t)n * (uint64_t)rows}, {x, (uint64_t)n}};
    int shapes[] = {n, rows};
    DRAW(r, STORE_ROW, arrays, shapes);
}

static void rope_gpu(Recorder *r, float *x, const float *angles, int head_size, int heads)
{
    Gpu_Array arrays[] = {{x, (uint64_t)head_size * (uint64_t)heads}, {angles, (uint64_t)head_size / 2}};
    int shapes[] = {head_size, heads};
    DRAW(r, ROPE, arrays, shapes);
}

static void attend_gpu(Recorder *r, const Config *p, float *out, const float *q, const float *keys, const float *values)
{
    int head_size = p->dim / p->n_heads;
    uint64_t dim = (uint64_t)p->dim, cache = (uint64_t)p->seq_len * (uint64_t)head_size * (uint64_t)p->n_kv_heads;
    Gpu_Array arrays[] = {{out, dim}, {q, dim}, {keys, cache}, {values, cache}};
    int shapes[] = {head_size, p->n_heads, p->n_kv_heads, p->seq_len};
    DRAW(r, ATTENTION, arrays, shapes);
}

static void pick(Recorder *r, int program, const void *out, int out_words, const float *logits, int vocab_size)
{
    Gpu_Array arrays[] = {{out, (uint64_t)out_words}, {logits, (uint64_t)vocab_size}};
    int shapes[] = {vocab_size};
    DRAW(r, program, arrays, shapes);
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

// All three buffers, to where they stand; without words, only their sizes.
static void record(Forward_Gpu *engine, const Transformer *transformer)
{
    const float *logits = transformer->state.logits;
    int vocab_size = transformer->config.vocab_size;
    engine->forward.count = engine->softmax.count = engine->argmax.count = 0;
    record_forward(&(Recorder){&engine->forward, engine->programs}, engine, transformer);
    pick(&(Recorder){&engine->softmax, engine->programs}, SOFTMAX, engine->probabilities, vocab_size, logits, vocab_size);
    pick(&(Recorder){&engine->argmax, engine->programs}, ARGMAX, engine->likeliest, 1, logits, vocab_size);
}

static int fits(const Config *p)
{
    uint64_t cache = (uint64_t)p->seq_len * (uint64_t)(p->dim / p->n_heads) * (uint64_t)p->n_kv_heads;
    if (cache > GPU_MOST_WORDS) {
        return complain("a layer's key cache is larger than a fetch constant can describe");
    }
    if ((uint64_t)p->seq_len * (uint64_t)p->n_heads > MOST_SCORES) {
        return complain("more attention scores in a layer than the GPU takes");
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
    const Weights *w = &transformer->weights;
    const Run_State *s = &transformer->state;
    // The first tensor of either format, at most a header behind the allocation's start.
    platform_share(w->token_embedding_table < w->rms_att_weight ? w->token_embedding_table : w->rms_att_weight);
    platform_share(s->x);
    platform_share(s->key_cache);
    platform_share(s->value_cache);
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
    gpu_set_loop(&engine->gpu, TOKEN, (uint32_t)token);
    gpu_set_loop(&engine->gpu, POSITION, (uint32_t)pos);
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
