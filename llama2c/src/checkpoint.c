// Reads llama2.c checkpoints. Layouts: llama2.c run.c (v0) and export.py (v1); docs/formats.md has them as tables.
#include "checkpoint.h"

#include <stdint.h>

#include "allocations.h"
#include "memory.h"
#include "platform.h"
#include "text.h"

enum { V0_HEADER = 28, V1_HEADER = 256, SHARED_CLASSIFIER = 36, MAX_TENSORS = 14 };
enum { MAX_DIM = 1 << 20, MAX_LAYERS = 1 << 12 };
static const uint32_t MAGIC = 0x616b3432;  // "ak42"
static const uint32_t MAGIC_SWAPPED = 0x32346b61;
static const uint32_t MATRIX_TYPE = 0;  // the code of the matrices' type in v0 and v1: fp32

typedef struct {
    Matrix *matrix;        // whose data it is; NULL for floats
    const float **vector;  // where the address of floats goes; NULL as well for what is passed over
    uint64_t bytes;
} Tensor;

static int complain(const char *path, const char *what)
{
    print(STANDARD_ERROR, "error: %s: %s\n", path, what);
    return 0;
}

static int check(const char *path, const char *name, int64_t value, int64_t limit)
{
    if (value < 1 || value > limit) {
        print(STANDARD_ERROR, "error: %s: %s %d, expected 1 to %d\n", path, name, value, limit);
        return 0;
    }
    return 1;
}

static int check_config(const char *path, const Config *p)
{
    if (!check(path, "dim", p->dim, MAX_DIM) || !check(path, "hidden_dim", p->hidden_dim, MAX_DIM) ||
        !check(path, "n_layers", p->n_layers, MAX_LAYERS) || !check(path, "n_heads", p->n_heads, p->dim) ||
        !check(path, "n_kv_heads", p->n_kv_heads, p->n_heads) || !check(path, "vocab_size", p->vocab_size, MAX_DIM) ||
        !check(path, "seq_len", p->seq_len, MAX_DIM)) {
        return 0;
    }
    if (p->dim % p->n_heads || p->dim / p->n_heads % 2 || p->n_heads % p->n_kv_heads) {
        return complain(path, "the heads do not divide the model's width into even parts");
    }
    return 1;
}

static void read_config(Config *p, const uint32_t *words)
{
    int *fields[] = {&p->dim, &p->hidden_dim, &p->n_layers, &p->n_heads, &p->n_kv_heads, &p->vocab_size, &p->seq_len};
    for (int i = 0; i < 7; i++) {
        *fields[i] = (int)words[i];
    }
}

static void shape_matrices(Weights *w, const Config *p, const Tensor_Type *type)
{
    int dim = p->dim, hidden_dim = p->hidden_dim, kv_dim = dim / p->n_heads * p->n_kv_heads;
    w->token_embedding_table = w->wcls = (Matrix){type, 0, p->vocab_size, dim};
    w->wq = w->wo = (Matrix){type, 0, dim, dim};
    w->wk = w->wv = (Matrix){type, 0, kv_dim, dim};
    w->w1 = w->w3 = (Matrix){type, 0, hidden_dim, dim};
    w->w2 = (Matrix){type, 0, dim, hidden_dim};
}

// Every row of every matrix has dim or hidden_dim items.
static int check_blocks(const char *path, const Config *p, const Tensor_Type *type)
{
    if (p->dim % type->items || p->hidden_dim % type->items) {
        print(STANDARD_ERROR, "error: %s: dim %d, hidden_dim %d, expected multiples of %d for %s\n", path,
              (int64_t)p->dim, (int64_t)p->hidden_dim, (int64_t)type->items, type->name);
        return 0;
    }
    return 1;
}

// n matrices behind one another, w the first.
static Tensor matrices(Matrix *w, int n)
{
    return (Tensor){w, 0, (uint64_t)row_bytes(w, (int64_t)n * w->d)};
}

static Tensor floats(const float **place, uint64_t count)
{
    return (Tensor){0, place, count * sizeof(float)};
}

// The tensors of either format in file order. Every size is below 2^62: check_config bounds the factors.
static int list_tensors(Tensor *tensors, const Config *p, Weights *w, int version, int shared)
{
    int l = p->n_layers;
    uint64_t dim = (uint64_t)p->dim, layers = (uint64_t)l;
    uint64_t pairs = dim / (uint64_t)p->n_heads / 2;  // that RoPE turns in a head
    Tensor embedding = matrices(&w->token_embedding_table, 1), freq = floats(0, (uint64_t)p->seq_len * pairs);
    Tensor attention_norm = floats(&w->rms_att_weight, layers * dim);
    Tensor ffn_norm = floats(&w->rms_ffn_weight, layers * dim), final_norm = floats(&w->rms_final_weight, dim);
    Tensor wq = matrices(&w->wq, l), wk = matrices(&w->wk, l), wv = matrices(&w->wv, l), wo = matrices(&w->wo, l);
    Tensor w1 = matrices(&w->w1, l), w2 = matrices(&w->w2, l), w3 = matrices(&w->w3, l);
    Tensor v0[] = {embedding, attention_norm, wq, wk, wv, wo, ffn_norm, w1, w2, w3, final_norm, freq, freq};
    Tensor v1[] = {attention_norm, ffn_norm, final_norm, embedding, wq, wk, wv, wo, w1, w2, w3};
    int n = version == 0 ? 13 : 11;
    memcpy(tensors, version == 0 ? v0 : v1, (size_t)n * sizeof(Tensor));
    if (!shared) {
        tensors[n++] = matrices(&w->wcls, 1);
    }
    return n;
}

static int is_wanted(const Tensor *tensor)
{
    return tensor->matrix || tensor->vector;
}

static void place(const Tensor *tensor, const void *memory)
{
    if (tensor->matrix) {
        tensor->matrix->data = memory;
    } else {
        *tensor->vector = memory;
    }
}

// One aligned region, every tensor at a multiple of a cache line in it, read straight from the disc.
static int read_tensors(int64_t handle, uint64_t offset, const Tensor *tensors, int n, const char *path)
{
    uint64_t total = 0;
    for (int i = 0; i < n; i++) {
        total += is_wanted(&tensors[i]) ? LINES(tensors[i].bytes) : 0;
    }
    char *memory = allocate(MEMORY_WEIGHTS, (Extents){.weight_bytes = total});
    if (!memory) {
        print(STANDARD_ERROR, "error: %s: the weights need %u bytes, and that much memory is not free\n", path, total);
        return 0;
    }
    for (int i = 0; i < n; i++) {
        if (is_wanted(&tensors[i])) {
            if (platform_read(handle, offset, memory, tensors[i].bytes) < 0) {
                return complain(path, "cannot be read to its end");
            }
            place(&tensors[i], memory);
            memory += LINES(tensors[i].bytes);
        }
        offset += tensors[i].bytes;
    }
    return 1;
}

static int map_tensors(int64_t handle, uint64_t offset, uint64_t size, const Tensor *tensors, int n, const char *path)
{
    const char *file = platform_map(handle, size);
    if (!file) {
        print(STANDARD_ERROR, "error: %s: the file needs %u bytes, and that much memory is not free\n", path, size);
        return 0;
    }
    for (int i = 0; i < n; i++) {
        place(&tensors[i], file + offset);
        offset += tensors[i].bytes;
    }
    return 1;
}

static int load(Transformer *transformer, int64_t handle, const uint32_t *header, uint64_t size, const char *path)
{
    Config *p = &transformer->config;
    int version = header[0] == MAGIC ? (int)header[1] : 0;
    if (header[0] == MAGIC_SWAPPED) {
        return complain(path, "the other byte order: convert it first");
    }
    if (header[0] == MAGIC && version != 1) {
        print(STANDARD_ERROR, "error: %s: byte 4: version %d, this program runs v0 and v1 (fp32)\n", path, (int64_t)version);
        return 0;
    }
    read_config(p, version == 0 ? header : header + 2);
    int shared = version == 0 ? p->vocab_size > 0 : ((const unsigned char *)header)[SHARED_CLASSIFIER] != 0;
    if (version == 0 && p->vocab_size < 0) {
        p->vocab_size = (int)(0u - (uint32_t)p->vocab_size);  // the smallest int stays negative and is refused below
    }
    const Tensor_Type *type = tensor_type(MATRIX_TYPE);
    if (!check_config(path, p) || !check_blocks(path, p, type)) {
        return 0;
    }
    shape_matrices(&transformer->weights, p, type);
    Tensor tensors[MAX_TENSORS];
    int n = list_tensors(tensors, p, &transformer->weights, version, shared);
    uint64_t offset = version == 0 ? V0_HEADER : V1_HEADER, expected = offset;
    int aligned = version == 1;
    for (int i = 0; i < n; i++) {
        aligned = aligned && expected % CACHE_LINE == 0;
        expected += tensors[i].bytes;
    }
    if (expected != size) {
        print(STANDARD_ERROR, "error: %s: %u bytes, expected %u\n", path, size, expected);
        return 0;
    }
    if (aligned ? !map_tensors(handle, offset, size, tensors, n, path) : !read_tensors(handle, offset, tensors, n, path)) {
        return 0;
    }
    if (shared) {
        transformer->weights.wcls = transformer->weights.token_embedding_table;
    }
    return 1;
}

int checkpoint_load(Transformer *transformer, const char *path)
{
    uint32_t header[V1_HEADER / 4] = {0};
    int64_t handle = platform_open(path);
    int64_t size = handle < 0 ? handle : platform_size(handle);
    if (size < 0) {
        return complain(path, "cannot be opened");
    }
    if (size < V0_HEADER) {
        print(STANDARD_ERROR, "error: %s: %d bytes, too short for a checkpoint's header\n", path, size);
        return 0;
    }
    if (platform_read(handle, 0, header, (uint64_t)(size < V1_HEADER ? size : V1_HEADER)) < 0) {
        return complain(path, "cannot be read");
    }
    return load(transformer, handle, header, (uint64_t)size, path);
}
