// The operations of the forward pass, each recorded as a draw of a GPU program (docs/gpu.md has their constants).
// Nothing in a command buffer changes from pass to pass: tokens, their number and their position are constants.
#include "forward_gpu.h"

#include "allocations.h"
#include "memory.h"
#include "operations.h"
#include "platform.h"
#include "text.h"

enum { EPSILON_CONSTANT = 0, TEMPERATURE_CONSTANT = 1 };  // among the float constants
enum { POSITIONS_CONSTANT = 7, TOKEN_CONSTANT = 8, ROW_CONSTANT = 30, POSITION_CONSTANT = 31 };  // among the loop's
enum { MOST_PIECES = 8, MOST_SCORES = 1 << 24 };          // of the embedding table; of a layer's attention

static int complain(const char *what)
{
    print(STANDARD_ERROR, "error: -g: %s\n", what);
    return 0;
}

typedef struct {
    Commands *commands;
    uint32_t *programs;               // (GPU_PROGRAMS, GPU_PROGRAM_WORDS) their headers
    const char *names[GPU_PROGRAMS];  // of those that were drawn with
    const Transformer *transformer;
    int positions;                    // most of a pass: rows that the arrays of activations have
    int lacks_room;                   // for one more program
} Recorder;

// The header of the program of this name.
static const uint32_t *program_of(Recorder *r, const char *name)
{
    for (int i = 0; i < GPU_PROGRAMS; i++) {
        uint32_t *header = r->programs + i * GPU_PROGRAM_WORDS;
        if (!r->names[i]) {
            r->names[i] = name;
            gpu_name_program(header, name);
        }
        if (strcmp(r->names[i], name) == 0) {
            return header;
        }
    }
    r->lacks_room = 1;
    return r->programs;
}

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

// One draw; arrays and shapes are C arrays of their own length.
#define DRAW(recorder, program, arrays, shapes)                                                              \
    gpu_draw((recorder)->commands, program_of(recorder, program), arrays, COUNT(arrays), shapes, COUNT(shapes))

// Activations (positions, size), of which a pass uses as many rows as it has positions.
static Gpu_Array activations(const Recorder *r, const float *x, int size)
{
    return (Gpu_Array){x, (uint64_t)r->positions * (uint64_t)size, 0};
}

// Arrays of the rows from row on, as many as count, one for each plane: their number.
static int rows_of(Gpu_Array *arrays, const Matrix *w, int row, int count)
{
    int planes = 0;
    for (; planes < MOST_PLANES && row_bytes(w, planes); planes++) {
        uint64_t words = ((uint64_t)(row_bytes(w, planes) * count) + 3) / 4;
        arrays[planes] = (Gpu_Array){plane_row(w, planes, row), words, w->type->planes[planes].number_bytes};
    }
    return planes;
}

// What a program needs to know of w besides: nothing of fp32; else the items of a block, and the bytes of a row of each
// plane. The number of shapes.
static int shapes_of(int *shapes, const Matrix *w)
{
    if (w->type == &tensor_fp32) {
        return 0;
    }
    int n = 0;
    shapes[n++] = w->block;
    for (int k = 0; k < MOST_PLANES && row_bytes(w, k); k++) {
        shapes[n++] = (int)row_bytes(w, k);
    }
    return n;
}

// The table may need several fetch constants for each plane.
static void record_embed(void *machine, float *x, const Matrix *table)
{
    Recorder *r = machine;
    int dim = table->n, rows = table->d;
    Gpu_Array arrays[1 + MOST_PIECES * MOST_PLANES] = {activations(r, x, dim)};
    int most = GPU_MOST_WORDS / dim, n = 1;
    for (int row = 0; row < rows; row += most) {
        n += rows_of(arrays + n, table, row, rows - row < most ? rows - row : most);
    }
    int shapes[3 + 1 + MOST_PLANES] = {dim, rows, most};
    int n_shapes = 3 + shapes_of(shapes + 3, table);
    gpu_draw(r->commands, program_of(r, table->type->embedding_program), arrays, n, shapes, n_shapes);
}

static void record_rmsnorm(void *machine, float *out, const float *x, const float *weight, int size)
{
    Recorder *r = machine;
    Gpu_Array arrays[] = {activations(r, out, size), activations(r, x, size), {weight, (uint64_t)size, 0}};
    int shapes[] = {size};
    DRAW(r, "rmsnorm", arrays, shapes);
}

// In as many draws as fetch constants need to describe w in fp32, whatever its type.
static void record_product(Recorder *r, float *out, const float *x, const Matrix *w)
{
    int n = w->n, d = w->d;
    int most = GPU_MOST_WORDS / n;
    for (int row = 0; row < d; row += most) {
        int rows = d - row < most ? d - row : most;
        uint64_t words = (uint64_t)(r->positions - 1) * (uint64_t)d + (uint64_t)rows;  // of out, from row on
        Gpu_Array arrays[2 + MOST_PLANES] = {{out + row, words, 0}};
        int planes = rows_of(arrays + 1, w, row, rows);
        arrays[1 + planes] = activations(r, x, n);
        int shapes[3 + 1 + MOST_PLANES] = {n, rows, d};
        int n_shapes = 3 + shapes_of(shapes + 3, w);
        gpu_draw(r->commands, program_of(r, w->type->matmul_program), arrays, 2 + planes, shapes, n_shapes);
    }
}

static void record_matmul(void *machine, const float *x, const Projection *projections, int count)
{
    for (int i = 0; i < count; i++) {
        record_product(machine, projections[i].out, x, &projections[i].w);
    }
}

static void record_rope(void *machine, float *x, int heads)
{
    Recorder *r = machine;
    int head_size = r->transformer->config.dim / r->transformer->config.n_heads;
    const float *angles = r->transformer->state.rope_freq;
    Gpu_Array arrays[] = {activations(r, x, heads * head_size), {angles, (uint64_t)head_size / 2, 0}};
    int shapes[] = {head_size, heads};
    DRAW(r, "rope", arrays, shapes);
}

static void record_store_rows(void *machine, void *cache, const float *rows)
{
    Recorder *r = machine;
    const Config *p = &r->transformer->config;
    int kv_dim = p->dim / p->n_heads * p->n_kv_heads;
    Gpu_Array arrays[] = {{cache, (uint64_t)kv_dim * (uint64_t)p->seq_len, 0}, activations(r, rows, kv_dim)};
    int shapes[] = {kv_dim, p->seq_len};
    DRAW(r, "store_rows", arrays, shapes);
}

static void record_attend(void *machine, float *out, const float *q, const void *keys, const void *values)
{
    Recorder *r = machine;
    const Config *p = &r->transformer->config;
    int head_size = p->dim / p->n_heads;
    uint64_t cache = (uint64_t)p->seq_len * (uint64_t)head_size * (uint64_t)p->n_kv_heads;
    Gpu_Array arrays[] = {activations(r, out, p->dim), activations(r, q, p->dim), {keys, cache, 0}, {values, cache, 0}};
    int shapes[] = {head_size, p->n_heads, p->n_kv_heads, p->seq_len};
    DRAW(r, "attention", arrays, shapes);
}

// x = what the program makes of x and y
static void record_pairs(Recorder *r, const char *program, float *x, const float *y, int size)
{
    Gpu_Array arrays[] = {activations(r, x, size), activations(r, x, size), activations(r, y, size)};
    int shapes[] = {size};
    DRAW(r, program, arrays, shapes);
}

static void record_swiglu(void *machine, float *hb, const float *hb2, int size)
{
    record_pairs(machine, "swiglu", hb, hb2, size);
}

static void record_add(void *machine, float *x, const float *y, int size)
{
    record_pairs(machine, "add", x, y, size);
}

static void record_take_row(void *machine, float *out, const float *x, int size)
{
    Recorder *r = machine;
    Gpu_Array arrays[] = {{out, (uint64_t)size, 0}, {x, (uint64_t)BATCH * (uint64_t)size, 0}};
    int shapes[] = {size, BATCH};
    DRAW(r, "take_row", arrays, shapes);
}

static const Operations RECORD = {
    .embed = record_embed,
    .rmsnorm = record_rmsnorm,
    .matmul = record_matmul,
    .rope = record_rope,
    .store_rows = record_store_rows,
    .attend = record_attend,
    .swiglu = record_swiglu,
    .add = record_add,
    .take_row = record_take_row,
};

// A program that picks from the logits: the probabilities of all, or the likeliest one.
static void record_pick(Recorder *r, const char *program, const void *out, int out_words)
{
    int vocab_size = r->transformer->config.vocab_size;
    Gpu_Array arrays[] = {{out, (uint64_t)out_words, 0}, {r->transformer->state.logits, (uint64_t)vocab_size, 0}};
    int shapes[] = {vocab_size};
    DRAW(r, program, arrays, shapes);
}

static int record(Forward_Gpu *engine, const Transformer *transformer)
{
    Recorder recorder = {.programs = engine->programs, .transformer = transformer};
    recorder.commands = &engine->forward;
    recorder.positions = BATCH;
    gpu_float_constant(recorder.commands, EPSILON_CONSTANT, transformer->config.rms_norm_eps);
    forward(&RECORD, &recorder, transformer);
    recorder.commands = &engine->classify;
    recorder.positions = 1;
    gpu_loop_constant(recorder.commands, POSITIONS_CONSTANT, 1);
    classify(&RECORD, &recorder, transformer);
    recorder.commands = &engine->softmax;
    record_pick(&recorder, "softmax", engine->probabilities, transformer->config.vocab_size);
    recorder.commands = &engine->argmax;
    record_pick(&recorder, "argmax", engine->likeliest, 1);
    if (recorder.lacks_room) {
        return complain("more programs than allocations.h counts");
    }
    return (engine->forward.count <= engine->forward.room && engine->classify.count <= engine->classify.room) ||
           complain("a command buffer that allocations.h does not foresee");
}

// Whether programs compute with w, whose rows must be whole words there.
static int has_programs(const Matrix *w)
{
    if (!w->type->matmul_program || !w->type->embedding_program) {
        return complain("no program of the GPU computes with the model's tensor type");
    }
    for (int k = 0; k < MOST_PLANES; k++) {
        if (row_bytes(w, k) % 4) {
            return complain("a row of the model's matrices is no whole number of words");
        }
    }
    return w->type != &tensor_fp32 || row_bytes(w, 0) == (int64_t)sizeof(float) * w->n ||
           complain("rows of fp32 are not a whole number of vectors");
}

static int all_have_programs(const Weights *w)
{
    return has_programs(&w->token_embedding_table) && has_programs(&w->wq) && has_programs(&w->wk) &&
           has_programs(&w->wv) && has_programs(&w->wo) && has_programs(&w->w1) && has_programs(&w->w2) &&
           has_programs(&w->w3) && has_programs(&w->wcls);
}

// Planes of the matrices that are no fp32, at most.
static uint64_t quantised_planes(const Weights *w)
{
    const Matrix *all[] = {&w->token_embedding_table, &w->wq, &w->wk, &w->wv, &w->wo, &w->w1, &w->w2, &w->w3, &w->wcls};
    uint64_t most = 0;
    for (int i = 0; i < COUNT(all); i++) {
        uint64_t planes = 0;
        while (all[i]->type != &tensor_fp32 && planes < MOST_PLANES && row_bytes(all[i], (int)planes)) {
            planes++;
        }
        most = planes > most ? planes : most;
    }
    return most;
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
    engine->classify.room = (uint32_t)CLASSIFY_WORDS(p);
    engine->softmax.room = engine->argmax.room = PICK_WORDS;
    return FORWARD_WORDS(p) <= GPU_MOST_COMMANDS || complain("too many layers for a command buffer");
}

// The CPU's allocations that the GPU uses too.
static void share(const Transformer *transformer)
{
    const Weights *w = &transformer->weights;
    const Run_State *s = &transformer->state;
    // The first tensor of any format, at most a header behind the allocation's start.
    const char *table = w->token_embedding_table.data, *norm = (const char *)w->rms_att_weight;
    platform_share(table < norm ? table : norm);
    platform_share(s->x);
    platform_share(s->key_cache);
    platform_share(s->value_cache);
}

int forward_gpu_start(Forward_Gpu *engine, const Transformer *transformer)
{
    *engine = (Forward_Gpu){.forward = {0}};
    if (transformer->config.kv_bytes != sizeof(float)) {
        return complain("it keeps keys and values as floats only");
    }
    if (!fits(&transformer->config) || !all_have_programs(&transformer->weights)) {
        return 0;
    }
    int started = gpu_start(&engine->gpu);
    if (started <= 0) {
        return complain(started ? "no memory is free for the ring buffer" : "this machine has no GPU");
    }
    Extents extents = extents_of(&transformer->config);
    extents.quantised_planes = quantised_planes(&transformer->weights);
    if (!take_memory(engine, extents)) {
        return 0;
    }
    engine->logits = transformer->state.logits;
    if (!record(engine, transformer)) {
        return 0;
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

int forward_gpu(Forward_Gpu *engine, const int *tokens, int positions, int pos)
{
    gpu_set_loop(&engine->gpu, POSITIONS_CONSTANT, (uint32_t)positions);
    gpu_set_loop(&engine->gpu, POSITION_CONSTANT, (uint32_t)pos);
    for (int i = 0; i < positions; i++) {
        gpu_set_loop(&engine->gpu, TOKEN_CONSTANT + i, (uint32_t)tokens[i]);
    }
    return submit(engine, &engine->forward);
}

float *classify_gpu(Forward_Gpu *engine, int wanted)
{
    gpu_set_loop(&engine->gpu, ROW_CONSTANT, (uint32_t)wanted);
    return submit(engine, &engine->classify) ? engine->logits : 0;
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
