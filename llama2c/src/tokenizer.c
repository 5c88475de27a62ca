// Byte-pair encoding with byte fallback. The file (llama2.c, tokenizer.py): int32 length of the longest piece, then
// per piece float score, int32 length, bytes.
#include "tokenizer.h"

#include "allocations.h"
#include "memory.h"
#include "platform.h"
#include "sort.h"
#include "text.h"

enum { NO_TOKEN = -1 };
_Static_assert(sizeof(Piece) == PIECE_BYTES, "allocations.h knows a piece's size");

static int32_t read_int(const char *bytes)
{
    int32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static int complain(const char *path, uint64_t offset, const char *what)
{
    print(STANDARD_ERROR, "error: %s: byte %u: %s\n", path, offset, what);
    return 0;
}

static int read_pieces(Tokenizer *t, const char *file, uint64_t size, const char *path)
{
    uint64_t offset = 4;
    for (uint32_t i = 0; i < t->vocab_size; i++) {
        if (size - offset < 8) {
            print(STANDARD_ERROR, "error: %s: %u pieces, the model's vocabulary has %u\n", path, (uint64_t)i,
                  (uint64_t)t->vocab_size);
            return 0;
        }
        int32_t length = read_int(file + offset + 4);
        if (length < 0 || (uint64_t)length > size - offset - 8) {
            return complain(path, offset + 4, "a piece's length is past the end of the file (the other byte order?)");
        }
        memcpy(&t->pieces[i].score, file + offset, sizeof(float));
        t->pieces[i].bytes = file + offset + 8;
        t->pieces[i].length = (uint32_t)length;
        offset += 8 + (uint64_t)length;
    }
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
    Extents extents = {.tokenizer_bytes = (uint64_t)size, .vocab_size = vocab_size};
    char *file = allocate(MEMORY_TOKENIZER_FILE, extents);
    t->pieces = allocate(MEMORY_TOKENIZER_TABLE, extents);
    t->sorted = 0;
    t->vocab_size = vocab_size;
    if (!file || !t->pieces) {
        return complain(path, 0, "no memory is free for the tokenizer");
    }
    if (platform_read(handle, 0, file, (uint64_t)size) < 0) {
        return complain(path, 0, "cannot be read");
    }
    return read_pieces(t, file, (uint64_t)size, path);
}

static int compare(const char *a, uint32_t a_length, const char *b, uint32_t b_length)
{
    for (uint32_t i = 0; i < a_length && i < b_length; i++) {
        if (a[i] != b[i]) {
            return (int)(unsigned char)a[i] - (int)(unsigned char)b[i];
        }
    }
    return a_length < b_length ? -1 : a_length > b_length;
}

static int by_bytes(const void *context, uint32_t a, uint32_t b)
{
    const Piece *pieces = context;
    return compare(pieces[a].bytes, pieces[a].length, pieces[b].bytes, pieces[b].length);
}

static int look_up(const Tokenizer *t, const char *bytes, uint32_t length)
{
    uint32_t low = 0, high = t->vocab_size;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const Piece *piece = &t->pieces[t->sorted[middle]];
        int order = compare(bytes, length, piece->bytes, piece->length);
        if (order == 0) {
            return (int)t->sorted[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NO_TOKEN;
}

// The token whose piece is the two tokens' pieces one after the other.
static int look_up_pair(const Tokenizer *t, int first, int second, char *buffer)
{
    const Piece *a = &t->pieces[first], *b = &t->pieces[second];
    memcpy(buffer, a->bytes, a->length);
    memcpy(buffer + a->length, b->bytes, b->length);
    return look_up(t, buffer, a->length + b->length);
}

// One token for every character that has one, else one for each of its bytes. A character is a lead byte and up to
// three continuation bytes, well formed or not.
static int split(const Tokenizer *t, const char *text, int *tokens)
{
    int n = 0;
    while (*text) {
        uint32_t length = 1;
        while (length < 4 && (text[length] & 0xc0) == 0x80) {
            length++;
        }
        int token = look_up(t, text, length);
        if (token != NO_TOKEN) {
            tokens[n++] = token;
        } else {
            for (uint32_t i = 0; i < length; i++) {
                tokens[n++] = (unsigned char)text[i] + TOKEN_FIRST_BYTE;
            }
        }
        text += length;
    }
    return n;
}

// Merges the neighbours whose common piece has the best score, the first of equals, until no neighbours have one.
// merged (n) keeps what each token and its successor would become, so that a merge looks up two pairs and not all.
static int merge_pairs(const Tokenizer *t, int *tokens, int n, int *merged, char *buffer)
{
    for (int i = 0; i + 1 < n; i++) {
        merged[i] = look_up_pair(t, tokens[i], tokens[i + 1], buffer);
    }
    for (;;) {
        float best_score = -1e10f;
        int best = -1;
        for (int i = 0; i + 1 < n; i++) {
            if (merged[i] != NO_TOKEN && t->pieces[merged[i]].score > best_score) {
                best_score = t->pieces[merged[i]].score;
                best = i;
            }
        }
        if (best < 0) {
            return n;
        }
        tokens[best] = merged[best];
        n--;
        for (int i = best + 1; i < n; i++) {
            tokens[i] = tokens[i + 1];
            merged[i] = merged[i + 1];
        }
        if (best > 0) {
            merged[best - 1] = look_up_pair(t, tokens[best - 1], tokens[best], buffer);
        }
        if (best + 1 < n) {
            merged[best] = look_up_pair(t, tokens[best], tokens[best + 1], buffer);
        }
    }
}

static int sort_pieces(Tokenizer *t)
{
    t->sorted = allocate(MEMORY_TOKENIZER_ORDER, (Extents){.vocab_size = t->vocab_size});
    if (!t->sorted) {
        return 0;
    }
    for (uint32_t i = 0; i < t->vocab_size; i++) {
        t->sorted[i] = i;
    }
    stable_sort(t->sorted, t->sorted + t->vocab_size, t->vocab_size, by_bytes, t->pieces);
    return 1;
}

static uint32_t longest_piece(const Tokenizer *t)
{
    uint32_t longest = 0;
    for (uint32_t i = 0; i < t->vocab_size; i++) {
        longest = t->pieces[i].length > longest ? t->pieces[i].length : longest;
    }
    return longest;
}

int tokenizer_encode(Tokenizer *t, const char *text, int **tokens)
{
    uint64_t most = strlen(text) + 2;  // BOS, a space before the text, a token a byte
    uint64_t numbers = 2 * most * sizeof(int);
    Extents extents = {.prompt_bytes = strlen(text), .longest_piece = longest_piece(t)};
    char *memory = allocate(MEMORY_PROMPT, extents);
    if (!memory || (!t->sorted && *text && !sort_pieces(t))) {
        print(STANDARD_ERROR, "error: no memory is free for the prompt\n");
        return 0;
    }
    *tokens = (int *)(void *)memory;
    int *merged = *tokens + most;
    int n = 0;
    (*tokens)[n++] = TOKEN_BOS;
    if (!*text) {
        return n;
    }
    int space = look_up(t, " ", 1);
    if (space != NO_TOKEN) {
        (*tokens)[n++] = space;
    }
    n += split(t, text, *tokens + n);
    for (int i = 0; i < n; i++) {
        if ((*tokens)[i] >= (int)t->vocab_size) {
            print(STANDARD_ERROR, "error: the prompt has a byte %u, and the vocabulary has no token for it\n",
                  (uint64_t)((*tokens)[i] - TOKEN_FIRST_BYTE));
            return 0;
        }
    }
    return merge_pairs(t, *tokens, n, merged, memory + numbers);
}

static int hexadecimal(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

Piece tokenizer_decode(const Tokenizer *t, int previous, int token)
{
    static char byte;
    Piece piece = t->pieces[token];
    if (previous == TOKEN_BOS && piece.length && piece.bytes[0] == ' ') {
        piece.bytes++;
        piece.length--;
    }
    if (piece.length >= 4 && piece.bytes[0] == '<' && piece.bytes[1] == '0' && piece.bytes[2] == 'x') {
        int high = hexadecimal(piece.bytes[3]);
        int low = piece.length > 4 ? hexadecimal(piece.bytes[4]) : -1;
        if (high >= 0) {
            byte = (char)(low >= 0 ? high * 16 + low : high);
            piece.bytes = &byte;
            piece.length = 1;
        }
    }
    return piece;
}
