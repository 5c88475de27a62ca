// The operations of the forward pass, each recorded as a draw of a GPU program (docs/gpu.md has their constants).
// Nothing in the command buffer changes from token to token: token and position are constants.
#include "forward_gpu.h"

#include "allocations.h"
#include "operations.h"
#include "platform.h"
#include "text.h"

enum { MATMUL, EMBEDDING, STORE_ROW, RMSNORM, ROPE, ATTENTION, SWIGLU, ADD, SOFTMAX, ARGMAX, PROGRAMS };
static const char *const PROGRAM_NAMES[PROGRAMS] = {"matmul", "embedding", "store_row", "rmsnorm", "rope",
                                                    "attention", "swiglu", "add", "softmax", "argmax"};
_Static_assert(PROGRAMS == GPU_PROGRAMS, "allocations.h counts the programs");

enum { EPSILON_CONSTANT = 0, TEMPERATURE_CONSTANT = 1 };  // among the float constants
enum { TOKEN_CONSTANT = 30, POSITION_CONSTANT = 31 };     // among the loop constants
enum { MOST_PIECES = 8, MOST_SCORES = 1 << 24 };          // of the embedding table; of a layer's attention

static int complain(const char *what)
{
    print(STANDARD_ERROR, "error: -g: %s\n", what);
    return 0;
}

typedef struct {
    Commands *commands;
    const uint32_t *programs;
    const Transformer *transformer;
} Recorder;

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

// One draw; arrays and shapes are C arrays of their own length.
#define DRAW(recorder, program, arrays, shapes)                                                              \
    gpu_draw((recorder)->commands, (recorder)->programs + (program) * GPU_PROGRAM_WORDS, arrays, COUNT(arrays), shapes, \
             COUNT(shapes))

// A program with three vectors of the same size.
static void record_vectors(const Recorder *r, int program, float *out, const float *x, const float *y, int n)
{
    Gpu_Array arrays[] = {{out, (uint64_t)n}, {x, (uint64_t)n}, {y, (uint64_t)n}};
    int shapes[] = {n};
    DRAW(r, program, arrays, shapes);
}

// The table may need several fetch constants.
static void record_embed(void *machine, float *x, const float *table)
{
    const Recorder *r = machine;
    int dim = r->transformer->config.dim, rows = r->transformer->config.vocab_size;
    Gpu_Array arrays[1 + MOST_PIECES] = {{x, (uint64_t)dim}};
    int most = GPU_MOST_WORDS / dim, pieces = 0;
    for (int row = 0; row < rows; row += most) {
        uint64_t count = (uint64_t)(rows - row < most ? rows - row : most) * (uint64_t)dim;
        arrays[1 + pieces++] = (Gpu_Array){table + (int64_t)row * dim, count};
    }
    int shapes[] = {dim, rows, most};
    gpu_draw(r->commands, r->programs + EMBEDDING * GPU_PROGRAM_WORDS, arrays, 1 + pieces, shapes, COUNT(shapes));
}

static void record_rmsnorm(void *machine, float *out, const float *x, const float *weight, int size)
{
    record_vectors(machine, RMSNORM, out, x, weight, size);
}

// In as many draws as fetch constants need to describe w.
static void record_matmul(void *machine, float *out, const float *x, const float *w, int n, int d)
{
    const Recorder *r = machine;
    int most = GPU_MOST_WORDS / n;
    for (int row = 0; row < d; row += most) {
        int rows = d - row < most ? d - row : most;
        const float *part = w + (int64_t)row * n;
        Gpu_Array arrays[] = {{out + row, (uint64_t)rows}, {part, (uint64_t)rows * (uint64_t)n}, {x, (uint64_t)n}};
        int shapes[] = {n, rows};
        DRAW(r, MATMUL, arrays, shapes);
    }
}

static void record_rope(void *machine, float *x, int heads)
{
    const Recorder *r = machine;
    int head_size = r->transformer->config.dim / r->transformer->config.n_heads;
    const float *angles = r->transformer->state.rope_freq;
    Gpu_Array arrays[] = {{x, (uint64_t)head_size * (uint64_t)heads}, {angles, (uint64_t)head_size / 2}};
    int shapes[] = {head_size, heads};
    DRAW(r, ROPE, arrays, shapes);
}

// In the vector: which row of the cache it becomes is known only when the commands run.
static float *record_cache_row(void *machine, float *cache, float *vector)
{
    (void)machine;
    (void)cache;
    return vector;
}

static void record_store_row(void *machine, float *cache, const float *row)
{
    const Recorder *r = machine;
    const Config *p = &r->transformer->config;
    int kv_dim = p->dim / p->n_heads * p->n_kv_heads;
    Gpu_Array arrays[] = {{cache, (uint64_t)kv_dim * (uint64_t)p->seq_len}, {row, (uint64_t)kv_dim}};
    int shapes[] = {kv_dim, p->seq_len};
    DRAW(r, STORE_ROW, arrays, shapes);
}

static void record_attend(void *machine, float *out, const float *q, const float *keys, const float *values)
{
    const Recorder *r = machine;
    const Config *p = &r->transformer->config;
    int head_size = p->dim / p->n_heads;
    uint64_t dim = (uint64_t)p->dim, cache = (uint64_t)p->seq_len * (uint64_t)head_size * (uint64_t)p->n_kv_heads;
    Gpu_Array arrays[] = {{out, dim}, {q, dim}, {keys, cache}, {values, cache}};
    int shapes[] = {head_size, p->n_heads, p->n_kv_heads, p->seq_len};
    DRAW(r, ATTENTION, arrays, shapes);
}

static void record_swiglu(void *machine, float *hb, const float *hb2, int size)
{
    record_vectors(machine, SWIGLU, hb, hb, hb2, size);
}

static void record_add(void *machine, float *x, const float *y, int size)
{
    record_vectors(machine, ADD, x, x, y, size);
}

static const Operations RECORD = {
    .embed = record_embed,
    .rmsnorm = record_rmsnorm,
    .matmul = record_matmul,
    .rope = record_rope,
    .cache_row = record_cache_row,
    .store_row = record_store_row,
    .attend = record_attend,
    .swiglu = record_swiglu,
    .add = record_add,
};

// A program that picks from the logits: the probabilities of all, or the likeliest one.
static void record_pick(const Recorder *r, int program, const void *out, int out_words)
{
    int vocab_size = r->transformer->config.vocab_size;
    Gpu_Array arrays[] = {{out, (uint64_t)out_words}, {r->transformer->state.logits, (uint64_t)vocab_size}};
    int shapes[] = {vocab_size};
    DRAW(r, program, arrays, shapes);
}

static void record(Forward_Gpu *engine, const Transformer *transformer)
{
    Recorder recorder = {&engine->forward, engine->programs, transformer};
    gpu_float_constant(recorder.commands, EPSILON_CONSTANT, EPSILON);
    forward(&RECORD, &recorder, transformer);
    recorder.commands = &engine->softmax;
    record_pick(&recorder, SOFTMAX, engine->probabilities, transformer->config.vocab_size);
    recorder.commands = &engine->argmax;
    record_pick(&recorder, ARGMAX, engine->likeliest, 1);
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

static int take_memory(Forward_Gpu *engine, Extents p)
{
    char *memory = allocate(MEMORY_GPU_VECTORS, p);
    char *buffers = allocate(MEMORY_GPU_BUFFERS, p);
    if (!memory || !buffers) {
        return complain("no memory is free for it");
    }
#define GPU_VECTOR(array, words)      \
    engine->array = (void *)memory;   \
    memory += ARRAY(words);
#define GPU_BUFFER(array, words)      \
    engine->array = (void *)buffers;  \
    buffers += ARRAY(words);
#include "allocations.def"
    engine->forward.room = (uint32_t)FORWARD_WORDS(p);
    engine->softmax.room = engine->argmax.room = PICK_WORDS;
    return FORWARD_WORDS(p) <= GPU_MOST_COMMANDS || complain("too many layers for a command buffer");
}

// The CPU's allocations that the GPU uses too.
static void share(const Transformer *transformer)
{
    const Weights *w = &transformer->weights;
    const Run_State *s = &transformer->state;
    // The first tensor of either format, at most a header behind the allocation's start.
    platform_share(w->token_embedding_table < w->rms_att_weight ? w->token_embedding_table : w->rms_att_weight);
    platform_share(s->x);
    platform_share(s->key_cache);
    platform_share(s->value_cache);
}

int forward_gpu_start(Forward_Gpu *engine, Transformer *transformer)
{
    *engine = (Forward_Gpu){.forward = {0}};
    if (!fits(&transformer->config)) {
        return 0;
    }
    int started = gpu_start(&engine->gpu);
    if (started <= 0) {
        return complain(started ? "no memory is free for the ring buffer" : "this machine has no GPU");
    }
    if (!take_memory(engine, extents_of(&transformer->config))) {
        return 0;
    }
    transformer->state.k = engine->k;
    transformer->state.v = engine->v;
    for (int i = 0; i < PROGRAMS; i++) {
        gpu_name_program(engine->programs + i * GPU_PROGRAM_WORDS, PROGRAM_NAMES[i]);
    }
    record(engine, transformer);
    if (engine->forward.count != engine->forward.room) {
        return complain("a command buffer that allocations.h does not foresee");
    }
    share(transformer);
    gpu_invalidate(&engine->gpu);
    return 1;
}

static int submit(Forward_Gpu *engine, const Commands *commands)
{
    gpu_call(&engine->gpu, commands);
    return gpu_finish(&engine->gpu) || complain("the GPU does not answer");
}

float *forward_gpu(Forward_Gpu *engine, const Transformer *transformer, int token, int pos)
{
    gpu_set_loop(&engine->gpu, TOKEN_CONSTANT, (uint32_t)token);
    gpu_set_loop(&engine->gpu, POSITION_CONSTANT, (uint32_t)pos);
    return submit(engine, &engine->forward) ? transformer->state.logits : 0;
}

float *forward_gpu_softmax(Forward_Gpu *engine, float temperature)
{
    gpu_set_float(&engine->gpu, TEMPERATURE_CONSTANT, temperature);
    return submit(engine, &engine->softmax) ? engine->probabilities : 0;
}

int forward_gpu_argmax(Forward_Gpu *engine)
{
    return submit(engine, &engine->argmax) ? (int)*(volatile uint32_t *)engine->likeliest : -1;
}
