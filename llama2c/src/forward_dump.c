// A table of operations around the CPU's: each calls the CPU's own and writes what it has computed.
#include "forward_dump.h"

#include "allocations.h"
#include "forward_cpu.h"
#include "memory.h"
#include "platform.h"

typedef struct {
    const Operations *operations;  // the CPU's
    void *machine;                 // theirs
    const Transformer *transformer;
    int pos;
    int layer;
    int products;  // matmuls of the layer so far
    int norms;     // rmsnorms of the layer so far
    int turns;     // ropes of the layer so far
    int sums;      // residual sums of the layer so far
} Dump;

static void write_tensor(const Dump *dump, const char *name, const float *items, int64_t n)
{
    struct {
        char name[TENSOR_NAME_BYTES];
        int32_t layer;
        int32_t position;
        int64_t n;
    } record = {.layer = dump->layer, .position = dump->pos, .n = n};
    _Static_assert(sizeof record == TENSOR_RECORD_BYTES, "the record is as forward_dump.h says");
    memcpy(record.name, name, strlen(name));
    platform_write(STANDARD_OUTPUT, &record, sizeof record);
    platform_write(STANDARD_OUTPUT, items, (uint64_t)n * sizeof(float));
}

static void dump_embed(void *machine, float *x, const Matrix *table)
{
    Dump *dump = machine;
    dump->operations->embed(dump->machine, x, table);
    write_tensor(dump, "embedding", x, table->n);
    dump->layer = 0;
}

static void dump_rmsnorm(void *machine, float *out, const float *x, const float *weight, int size)
{
    Dump *dump = machine;
    dump->operations->rmsnorm(dump->machine, out, x, weight, size);
    write_tensor(dump, dump->layer == NO_LAYER ? "final_norm" : dump->norms ? "ffn_norm" : "att_norm", out, size);
    dump->norms++;
}

// The matrices in the order of forward.c.
static void dump_matmul(void *machine, const float *x, const Projection *projections, int count)
{
    static const char *const NAMES[] = {"q", "k", "v", "xb2", "hb", "hb2", "ffn"};
    Dump *dump = machine;
    dump->operations->matmul(dump->machine, x, projections, count);
    for (const Projection *p = projections; p < projections + count; p++) {
        write_tensor(dump, dump->layer == NO_LAYER ? "logits" : NAMES[dump->products], p->out, p->w.d);
        dump->products++;
    }
}

static void dump_rope(void *machine, float *x, int heads)
{
    Dump *dump = machine;
    const Config *p = &dump->transformer->config;
    dump->operations->rope(dump->machine, x, heads);
    write_tensor(dump, dump->turns ? "k_rope" : "q_rope", x, (int64_t)heads * (p->dim / p->n_heads));
    dump->turns++;
}

static void dump_store_rows(void *machine, void *cache, const float *rows)
{
    Dump *dump = machine;
    dump->operations->store_rows(dump->machine, cache, rows);
}

// The weights of the positions, a record of n_heads rows. The vector kernel leaves their exponentials: divided here.
static void write_attention(Dump *dump)
{
    const Config *p = &dump->transformer->config;
    float *att = dump->transformer->state.att;
    int positions = dump->pos + 1;
    for (int64_t h = 0; h < p->n_heads; h++) {
        float *weights = att + h * FOURS((int64_t)p->seq_len), sum = 0.0f;
        for (int t = 0; dump->transformer->kernel == KERNEL_VMX && t < positions; t++) {
            sum += weights[t];
        }
        for (int t = 0; t < positions; t++) {
            att[h * positions + t] = sum > 0.0f ? weights[t] / sum : weights[t];
        }
    }
    write_tensor(dump, "att", att, (int64_t)p->n_heads * positions);
}

static void dump_attend(void *machine, float *out, const float *q, const void *keys, const void *values)
{
    Dump *dump = machine;
    dump->operations->attend(dump->machine, out, q, keys, values);
    write_attention(dump);
    write_tensor(dump, "xb", out, dump->transformer->config.dim);
}

static void dump_swiglu(void *machine, float *hb, const float *hb2, int size)
{
    Dump *dump = machine;
    dump->operations->swiglu(dump->machine, hb, hb2, size);
    write_tensor(dump, "swiglu", hb, size);
}

// The second sum ends a layer.
static void dump_add(void *machine, float *x, const float *y, int size)
{
    Dump *dump = machine;
    dump->operations->add(dump->machine, x, y, size);
    write_tensor(dump, dump->sums ? "x" : "x_att", x, size);
    if (dump->sums++) {
        dump->layer++;
        dump->products = dump->norms = dump->turns = dump->sums = 0;
    }
}

static void dump_take_row(void *machine, float *out, const float *x, int size)
{
    Dump *dump = machine;
    dump->operations->take_row(dump->machine, out, x, size);
    dump->layer = NO_LAYER;
}

static const Operations DUMP = {
    .embed = dump_embed,
    .rmsnorm = dump_rmsnorm,
    .matmul = dump_matmul,
    .rope = dump_rope,
    .store_rows = dump_store_rows,
    .attend = dump_attend,
    .swiglu = dump_swiglu,
    .add = dump_add,
    .take_row = dump_take_row,
};

static void forward_through(const Operations *operations, void *machine, const Transformer *transformer, void *context)
{
    Dump *dump = context;
    dump->operations = operations;
    dump->machine = machine;
    forward(&DUMP, dump, transformer);
}

static void classify_through(const Operations *operations, void *machine, const Transformer *transformer, void *context)
{
    Dump *dump = context;
    dump->operations = operations;
    dump->machine = machine;
    classify(&DUMP, dump, transformer);
}

void forward_dump(const Transformer *transformer, int token, int pos)
{
    Dump dump = {.transformer = transformer, .pos = pos, .layer = NO_LAYER};
    forward_cpu_through(transformer, &token, 1, pos, forward_through, &dump);
    classify_cpu_through(transformer, 0, classify_through, &dump);
}
