// Reads the tensors of a checkpoint. Layouts: llama2.c run.c (v0), runq.c and export.py (v1, v2); docs/formats.md has
// them as tables, and the console's own.
#include "checkpoint.h"

#include <stdint.h>

#include "allocations.h"
#include "header.h"
#include "memory.h"
#include "platform.h"
#include "text.h"

enum { MAX_TENSORS = 14, ROW_UNIT = 16 };

typedef struct {
    Matrix *matrix;        // whose data it is, the first of `layers`; NULL for floats
    const float **vector;  // where the address of floats goes; NULL as well for what is passed over
    uint64_t bytes;        // of a part in the file
    int layers;
} Tensor;

// What of a tensor lies behind one another without a gap: the planes of each layer have such a part each.
typedef struct {
    uint64_t bytes;
    uint64_t place;  // in memory, from the tensor's start
} Part;

static int complain(const char *path, const char *what)
{
    print(STANDARD_ERROR, "error: %s: %s\n", path, what);
    return 0;
}

static uint64_t filled(uint64_t bytes, uint64_t fill)
{
    return (bytes + fill) & ~fill;
}

static Matrix shaped(const Header *h, int class, int d, int n)
{
    const Tensor_Type *type = h->types[class];
    int console = h->version == CONSOLE_VERSION, apart = console || h->version == 2;
    int block = type->items ? type->items : h->group_size;
    return (Matrix){type, 0, d, n, block, console ? ROW_UNIT - 1 : 0, apart ? CACHE_LINE - 1 : 0};
}

static void shape_matrices(Weights *w, const Config *p, const Header *h)
{
    int dim = p->dim, hidden_dim = p->hidden_dim, kv_dim = dim / p->n_heads * p->n_kv_heads;
    w->token_embedding_table = shaped(h, EMBEDDING, p->vocab_size, dim);
    w->wq = shaped(h, WQ, dim, dim);
    w->wk = shaped(h, WK, kv_dim, dim);
    w->wv = shaped(h, WV, kv_dim, dim);
    w->wo = shaped(h, WO, dim, dim);
    w->w1 = shaped(h, W1, hidden_dim, dim);
    w->w2 = shaped(h, W2, dim, hidden_dim);
    w->w3 = shaped(h, W3, hidden_dim, dim);
    w->wcls = shaped(h, WCLS, p->vocab_size, dim);
}

// n matrices behind one another, w the first.
static Tensor matrices(Matrix *w, int n)
{
    return (Tensor){w, 0, 0, n};
}

static Tensor floats(const float **place, uint64_t count)
{
    return (Tensor){0, place, count * sizeof(float), 1};
}

// The tensors in file order. Every size is below 2^62: header_read bounds the factors.
static int list_tensors(Tensor *tensors, const Config *p, Weights *w, const Header *h)
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
    Tensor later[] = {attention_norm, ffn_norm, final_norm, embedding, wq, wk, wv, wo, w1, w2, w3};
    int n = h->version == 0 ? 13 : 11;
    memcpy(tensors, h->version == 0 ? v0 : later, (size_t)n * sizeof(Tensor));
    if (!h->shared) {
        tensors[n++] = matrices(&w->wcls, 1);
    }
    return n;
}

static int parts_of(const Tensor *tensor)
{
    const Matrix *w = tensor->matrix;
    return w && w->plane_fill ? MOST_PLANES * tensor->layers : 1;
}

static Part part_of(const Tensor *tensor, int i)
{
    const Matrix *w = tensor->matrix;
    if (!w) {
        return (Part){tensor->bytes, 0};
    }
    if (!w->plane_fill) {
        return (Part){(uint64_t)(tensor->layers * matrix_bytes(w)), 0};
    }
    int layer = i / MOST_PLANES, plane = i % MOST_PLANES;
    uint64_t place = (uint64_t)(layer * matrix_bytes(w));
    for (int before = 0; before < plane; before++) {
        place += (uint64_t)plane_bytes(w, before);
    }
    return (Part){(uint64_t)(w->d * row_bytes(w, plane)), place};
}

// Bytes of a tensor in memory: whole cache lines.
static uint64_t memory_bytes(const Tensor *tensor)
{
    const Matrix *w = tensor->matrix;
    return LINES(w ? (uint64_t)(tensor->layers * matrix_bytes(w)) : tensor->bytes);
}

static int is_wanted(const Tensor *tensor)
{
    return tensor->matrix || tensor->vector;
}

static void place(const Tensor *tensor, const void *memory)
{
    if (tensor->matrix) {
        tensor->matrix->data = memory;
    } else if (tensor->vector) {
        *tensor->vector = memory;
    }
}

typedef struct {
    const char *path;
    int64_t handle;
    uint64_t size;    // of the file
    uint64_t first;   // where its tensors begin
    uint64_t fill;    // each of its parts is filled up to a multiple of this plus 1
    Tensor tensors[MAX_TENSORS];
    int n;
} File;

// One aligned region, every tensor and every plane at a multiple of a cache line in it, read straight from the disc.
static int read_tensors(const File *file)
{
    uint64_t total = 0, offset = file->first;
    for (int i = 0; i < file->n; i++) {
        total += is_wanted(&file->tensors[i]) ? memory_bytes(&file->tensors[i]) : 0;
    }
    char *memory = allocate(MEMORY_WEIGHTS, (Extents){.weight_bytes = total});
    if (!memory) {
        print(STANDARD_ERROR, "error: %s: the weights need %u bytes, and that much memory is not free\n", file->path,
              total);
        return 0;
    }
    for (int i = 0; i < file->n; i++) {
        const Tensor *tensor = &file->tensors[i];
        for (int k = 0; k < parts_of(tensor); k++) {
            Part part = part_of(tensor, k);
            if (is_wanted(tensor) && part.bytes &&
                platform_read(file->handle, offset, memory + part.place, part.bytes) < 0) {
                return complain(file->path, "cannot be read to its end");
            }
            offset += filled(part.bytes, file->fill);
        }
        place(tensor, memory);
        memory += is_wanted(tensor) ? memory_bytes(tensor) : 0;
    }
    return 1;
}

static int map_tensors(const File *file)
{
    const char *memory = platform_map(file->handle, file->size);
    if (!memory) {
        print(STANDARD_ERROR, "error: %s: the file needs %u bytes, and that much memory is not free\n", file->path,
              file->size);
        return 0;
    }
    memory += file->first;
    for (int i = 0; i < file->n; i++) {
        const Tensor *tensor = &file->tensors[i];
        place(tensor, memory);
        for (int k = 0; k < parts_of(tensor); k++) {
            memory += filled(part_of(tensor, k).bytes, file->fill);
        }
    }
    return 1;
}

// Whether the file has the size that its header says: 1, or 0 after a message. *aligned: whether all parts lie in it as
// they would in memory.
static int check_size(const File *file, int *aligned)
{
    uint64_t expected = file->first;
    for (int i = 0; i < file->n; i++) {
        for (int k = 0; k < parts_of(&file->tensors[i]); k++) {
            Part part = part_of(&file->tensors[i], k);
            *aligned = *aligned && (part.bytes == 0 || expected % CACHE_LINE == 0);
            expected += filled(part.bytes, file->fill);
        }
    }
    if (expected != file->size) {
        print(STANDARD_ERROR, "error: %s: %u bytes, expected %u\n", file->path, file->size, expected);
        return 0;
    }
    return 1;
}

static int load(Transformer *transformer, File *file, const uint32_t *words)
{
    Header header;
    if (!header_read(&header, &transformer->config, words, file->path)) {
        return 0;
    }
    Weights *w = &transformer->weights;
    shape_matrices(w, &transformer->config, &header);
    file->n = list_tensors(file->tensors, &transformer->config, w, &header);
    file->first = header.version == 0 ? V0_HEADER_BYTES : HEADER_BYTES;
    file->fill = header.version == CONSOLE_VERSION ? CACHE_LINE - 1 : 0;
    int aligned = header.version != 0;
    if (!check_size(file, &aligned) || (aligned ? !map_tensors(file) : !read_tensors(file))) {
        return 0;
    }
    if (header.shared) {
        w->wcls = w->token_embedding_table;
    }
    return 1;
}

int checkpoint_load(Transformer *transformer, const char *path)
{
    uint32_t words[HEADER_BYTES / 4] = {0};
    int64_t handle = platform_open(path);
    int64_t size = handle < 0 ? handle : platform_size(handle);
    if (size < 0) {
        return complain(path, "cannot be opened");
    }
    if (size < V0_HEADER_BYTES) {
        print(STANDARD_ERROR, "error: %s: %d bytes, too short for a checkpoint's header\n", path, size);
        return 0;
    }
    if (platform_read(handle, 0, words, (uint64_t)(size < HEADER_BYTES ? size : HEADER_BYTES)) < 0) {
        return complain(path, "cannot be read");
    }
    File file = {.path = path, .handle = handle, .size = (uint64_t)size};
    return load(transformer, &file, words);
}
