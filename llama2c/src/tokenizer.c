// Reads a tokenizer file of either kind, and hands each text to the kind's functions.
#include "tokenizer.h"

#include "allocations.h"
#include "memory.h"
#include "platform.h"
#include "text.h"

static uint32_t first_word(const char *file)
{
    uint32_t word;
    memcpy(&word, file, sizeof word);
    return word;
}

static int load_byte_pairs(Tokenizer *t, const char *file, uint64_t size, const char *path)
{
    if (first_word(file) != BYTE_PAIRS_MAGIC) {
        return refuse(path, 0, "a tokenizer in the other byte order");
    }
    t->kind = TOKENIZER_BYTE_PAIRS;
    if (!byte_pairs_read(&t->byte_pairs, file, size, path)) {
        return 0;
    }
    uint32_t count = t->byte_pairs.header->vocab_size;
    if (count < t->vocab_size) {
        print(STANDARD_ERROR, "error: %s: %u tokens, the model's vocabulary has %u\n", path, (uint64_t)count,
              (uint64_t)t->vocab_size);
        return 0;
    }
    t->vocab_size = t->vocab_size ? t->vocab_size : count;
    return 1;
}

int tokenizer_load(Tokenizer *t, const char *path, uint32_t vocab_size)
{
    int64_t handle = platform_open(path);
    int64_t size = handle < 0 ? handle : platform_size(handle);
    if (size < 4) {
        print(STANDARD_ERROR, "error: %s: %s\n", path, size < 0 ? "cannot be opened" : "too short for a tokenizer");
        return 0;
    }
    char *file = allocate(MEMORY_TOKENIZER_FILE, (Extents){.tokenizer_bytes = (uint64_t)size});
    if (!file) {
        return refuse(path, 0, "no memory is free for the tokenizer");
    }
    if (platform_read(handle, 0, file, (uint64_t)size) < 0) {
        return refuse(path, 0, "cannot be read");
    }
    t->vocab_size = vocab_size;
    t->room = 0;
    if (first_word(file) == BYTE_PAIRS_MAGIC || first_word(file) == __builtin_bswap32(BYTE_PAIRS_MAGIC)) {
        return load_byte_pairs(t, file, (uint64_t)size, path);
    }
    t->kind = TOKENIZER_PIECES;
    if (!pieces_read(&t->pieces, vocab_size, file, (uint64_t)size, path)) {
        return 0;
    }
    t->vocab_size = t->pieces.count;
    return 1;
}

int tokenizer_make_room(Tokenizer *t, uint64_t bytes)
{
    Extents extents = {.prompt_bytes = bytes};
    if (t->kind == TOKENIZER_PIECES) {
        extents.longest_piece = pieces_longest(&t->pieces);
    }
    char *memory = bytes <= MOST_PROMPT_BYTES ? allocate(MEMORY_PROMPT, extents) : 0;
    if (!memory) {
        print(STANDARD_ERROR, "error: no memory is free for the prompt\n");
        return 0;
    }
    t->room = PROMPT_TOKENS(bytes);
    t->scratch = merge_scratch(memory, t->room);
    t->tokens = (int *)(void *)(memory + MERGE_BYTES * t->room);
    t->pieces.pair = memory + (MERGE_BYTES + sizeof(int)) * t->room;
    return 1;
}

int tokenizer_prepare(Tokenizer *t)
{
    return t->kind != TOKENIZER_PIECES || t->pieces.sorted || pieces_sort(&t->pieces);
}

int64_t tokenizer_encode(Tokenizer *t, const char *text, uint64_t length, int special)
{
    if (PROMPT_TOKENS(length) > t->room) {
        print(STANDARD_ERROR, "error: a text of %u bytes, and there is room for %u\n", length,
              t->room ? t->room - PROMPT_TOKENS(0) : 0);
        return -1;
    }
    if (t->kind == TOKENIZER_PIECES) {
        return pieces_encode(&t->pieces, text, length, t->tokens, &t->scratch);
    }
    int64_t n = byte_pairs_encode(&t->byte_pairs, text, length, special, t->tokens, &t->scratch);
    for (int64_t i = 0; i < n; i++) {
        if (t->tokens[i] >= (int64_t)t->vocab_size) {
            print(STANDARD_ERROR, "error: the prompt has the token %d, and the model's vocabulary has %u\n",
                  (int64_t)t->tokens[i], (uint64_t)t->vocab_size);
            return -1;
        }
    }
    return n;
}

Piece tokenizer_decode(const Tokenizer *t, int previous, int token)
{
    if (t->kind == TOKENIZER_PIECES) {
        return pieces_decode(&t->pieces, previous, token);
    }
    const uint32_t *starts = t->byte_pairs.starts;
    return (Piece){t->byte_pairs.text + starts[token], starts[token + 1] - starts[token], 0};
}

int tokenizer_begin(const Tokenizer *t)
{
    uint32_t begin = t->kind == TOKENIZER_PIECES ? (uint32_t)t->pieces.begin : t->byte_pairs.header->begin;
    return begin == ABSENT ? 0 : (int)begin;
}

int tokenizer_adds_begin(const Tokenizer *t)
{
    return t->kind == TOKENIZER_PIECES ? t->pieces.begin >= 0 : (t->byte_pairs.header->flags & FLAG_ADD_BEGIN) != 0;
}

int tokenizer_ends(const Tokenizer *t, int token)
{
    if (t->kind != TOKENIZER_PIECES) {
        return byte_pairs_ends(&t->byte_pairs, token);
    }
    for (int i = 0; i < MOST_END_TOKENS; i++) {
        if (token == t->pieces.ends[i]) {
            return 1;
        }
    }
    return 0;
}
