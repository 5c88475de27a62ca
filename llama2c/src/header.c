// Reads the header of a checkpoint.
#include "header.h"

#include "memory.h"
#include "platform.h"
#include "text.h"

enum { SHARED_CLASSIFIER = 36, GROUP_SIZE = 37 };                             // bytes
enum { EXTENSION = 11, THETA, EPSILON, BEGIN, ENDS, FLAGS = 19, TYPES = 21 };  // words
enum { NO_BEGIN_TOKEN = 1, NO_SPACE_PREFIX = 2 };
enum { MAX_DIM = 1 << 20, MAX_LAYERS = 1 << 12, TOKEN_1 = 1 };
static const uint32_t MAGIC = 0x616b3432;  // "ak42"
static const uint32_t MAGIC_SWAPPED = 0x32346b61;
static const uint32_t EXTENSION_MAGIC = 0x78656e31;  // "xen1"
static const uint32_t MATRIX_TYPE = 0;  // the code of the matrices' type in v0 and v1: fp32
static const uint32_t GROUP_TYPE = 256;  // in v2
static const float ROPE_THETA = 10000.0f, MOST_THETA = 1e12f;
static const float RMS_NORM_EPS = 1e-5f, LEAST_EPS = 1e-30f;

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

static int complain_of_word(const char *path, int word, const char *what, int64_t value, int64_t least, int64_t most)
{
    print(STANDARD_ERROR, "error: %s: byte %d: %s %d, expected %d to %d\n", path, (int64_t)word * 4, what, value, least,
          most);
    return 0;
}

// A float of the extension, or the usual value where it is 0.
static int read_float(float *value, uint32_t word, float usual, float least, float most)
{
    memcpy(value, &word, sizeof word);
    if (*value == 0.0f) {
        *value = usual;
    }
    return *value >= least && *value <= most;
}

static int read_floats(Config *p, const uint32_t *words, const char *path)
{
    if (!read_float(&p->rope_theta, words[THETA], ROPE_THETA, 1.0f, MOST_THETA)) {
        print(STANDARD_ERROR, "error: %s: byte %d: rope_theta, expected 1 to 1e12, or 0 for llama2.c's\n", path,
              (int64_t)THETA * 4);
        return 0;
    }
    if (!read_float(&p->rms_norm_eps, words[EPSILON], RMS_NORM_EPS, LEAST_EPS, 1.0f)) {
        print(STANDARD_ERROR, "error: %s: byte %d: rms_norm_eps, expected 1e-30 to 1, or 0 for llama2.c's\n", path,
              (int64_t)EPSILON * 4);
        return 0;
    }
    return 1;
}

// A token plus 1; 0 stands for the usual one.
static int read_token(int *token, const uint32_t *words, int word, int usual, const Config *p, const char *path)
{
    if (words[word] > (uint32_t)p->vocab_size) {
        return complain_of_word(path, word, "token", (int64_t)words[word] - 1, 0, p->vocab_size - 1);
    }
    *token = words[word] ? (int)words[word] - 1 : usual;
    return 1;
}

// What llama2.c takes for granted, and what the extension says instead.
static int read_extension(Config *p, const uint32_t *words, const char *path)
{
    if (!read_floats(p, words, path) || !read_token(&p->begin_token, words, BEGIN, TOKEN_1, p, path)) {
        return 0;
    }
    int ends = 0;
    for (int i = 0; i < MOST_END_TOKENS; i++) {
        if (!read_token(&p->end_tokens[i], words, ENDS + i, -1, p, path)) {
            return 0;
        }
        ends += p->end_tokens[i] >= 0;
    }
    if (ends == 0) {
        p->end_tokens[0] = TOKEN_1;
    }
    if (words[FLAGS] > (NO_BEGIN_TOKEN | NO_SPACE_PREFIX)) {
        return complain_of_word(path, FLAGS, "tokenizer flags", words[FLAGS], 0, NO_BEGIN_TOKEN | NO_SPACE_PREFIX);
    }
    p->no_begin_token = (words[FLAGS] & NO_BEGIN_TOKEN) != 0;
    p->no_space_prefix = (words[FLAGS] & NO_SPACE_PREFIX) != 0;
    return 1;
}

static int read_types(Header *h, const uint32_t *words, const char *path)
{
    for (int i = 0; i < MATRIX_CLASSES; i++) {
        uint32_t usual = h->version == 2 ? GROUP_TYPE : MATRIX_TYPE, code = words[TYPES + i];
        h->types[i] = tensor_type(h->version == CONSOLE_VERSION ? code : usual);
        if (h->version == CONSOLE_VERSION && (!h->types[i] || code == GROUP_TYPE)) {
            print(STANDARD_ERROR, "error: %s: byte %d: tensor type %u, which this program does not know\n", path,
                  (int64_t)(TYPES + i) * 4, (uint64_t)code);
            return 0;
        }
    }
    return 1;
}

// Every row of every matrix has dim or hidden_dim items.
static int check_blocks(const char *path, const Config *p, const Header *h)
{
    for (int i = 0; i < MATRIX_CLASSES; i++) {
        int items = h->types[i]->items ? h->types[i]->items : h->group_size;
        if (p->dim % items || p->hidden_dim % items) {
            print(STANDARD_ERROR, "error: %s: dim %d, hidden_dim %d, expected multiples of %d for %s\n", path,
                  (int64_t)p->dim, (int64_t)p->hidden_dim, (int64_t)items, h->types[i]->name);
            return 0;
        }
    }
    return 1;
}

static int read_group_size(Header *h, const uint32_t *words, const char *path)
{
    memcpy(&h->group_size, (const char *)words + GROUP_SIZE, sizeof h->group_size);
    if (h->group_size < 1 || h->group_size > MAX_DIM) {
        print(STANDARD_ERROR, "error: %s: byte %d: group_size %d, expected 1 to %d\n", path, (int64_t)GROUP_SIZE,
              (int64_t)h->group_size, (int64_t)MAX_DIM);
        return 0;
    }
    return 1;
}

static int read_version(Header *h, const uint32_t *words, const char *path)
{
    if (words[0] == MAGIC_SWAPPED) {
        return complain(path, "the other byte order: convert it first");
    }
    h->version = words[0] == MAGIC ? (int)words[1] : 0;
    int known = words[0] != MAGIC || h->version == 1 || h->version == 2 || h->version == CONSOLE_VERSION;
    if (!known) {
        print(STANDARD_ERROR, "error: %s: byte 4: version %d, this program runs 0, 1, 2 and %d\n", path,
              (int64_t)h->version, (int64_t)CONSOLE_VERSION);
    }
    return known;
}

int header_read(Header *h, Config *p, const uint32_t *words, const char *path)
{
    static const uint32_t NO_EXTENSION[HEADER_BYTES / 4];
    *h = (Header){0};
    p->kv_bytes = sizeof(float);
    if (!read_version(h, words, path)) {
        return 0;
    }
    read_config(p, h->version == 0 ? words : words + 2);
    h->shared = h->version == 0 ? p->vocab_size > 0 : ((const unsigned char *)words)[SHARED_CLASSIFIER] != 0;
    if (h->version == 0 && p->vocab_size < 0) {
        p->vocab_size = (int)(0u - (uint32_t)p->vocab_size);  // the smallest int stays negative and is refused below
    }
    int extended = h->version != 0 && words[EXTENSION] == EXTENSION_MAGIC;
    const uint32_t *extension = extended ? words : NO_EXTENSION;
    return check_config(path, p) && (h->version != 2 || read_group_size(h, words, path)) &&
           read_extension(p, extension, path) && read_types(h, extension, path) && check_blocks(path, p, h);
}
