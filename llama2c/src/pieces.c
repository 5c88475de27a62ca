// Byte-pair encoding with byte fallback. The file (llama2.c, tokenizer.py): int32 length of the longest piece, then
// per piece float score, int32 length, bytes.
#include "pieces.h"

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

// The pieces of a file in which the lengths are right; at a wrong one it ends.
static uint32_t count_pieces(const char *file, uint64_t size)
{
    uint32_t count = 0;
    for (uint64_t offset = 4; size - offset >= 8; count++) {
        int32_t length = read_int(file + offset + 4);
        if (length < 0 || (uint64_t)length > size - offset - 8) {
            break;
        }
        offset += 8 + (uint64_t)length;
    }
    return count;
}

static int read_pieces(Pieces *p, const char *file, uint64_t size, const char *path)
{
    uint64_t offset = 4;
    for (uint32_t i = 0; i < p->count; i++) {
        if (size - offset < 8) {
            print(STANDARD_ERROR, "error: %s: %u pieces, the model's vocabulary has %u\n", path, (uint64_t)i,
                  (uint64_t)p->count);
            return 0;
        }
        int32_t length = read_int(file + offset + 4);
        if (length < 0 || (uint64_t)length > size - offset - 8) {
            return refuse(path, offset + 4, "a piece's length is past the end of the file (the other byte order?)");
        }
        memcpy(&p->pieces[i].score, file + offset, sizeof(float));
        p->pieces[i].bytes = file + offset + 8;
        p->pieces[i].length = (uint32_t)length;
        offset += 8 + (uint64_t)length;
    }
    return 1;
}

int pieces_read(Pieces *p, uint32_t count, const char *file, uint64_t size, const char *path)
{
    p->count = count ? count : count_pieces(file, size);
    p->sorted = 0;
    p->begin = p->ends[0] = TOKEN_BOS;
    for (int i = 1; i < MOST_END_TOKENS; i++) {
        p->ends[i] = -1;
    }
    p->space = 1;
    if (p->count <= TOKEN_BOS) {
        return refuse(path, size, "too few pieces for one that begins a text (the other byte order?)");
    }
    p->pieces = allocate(MEMORY_TOKENIZER_TABLE, (Extents){.pieces = p->count});
    return p->pieces ? read_pieces(p, file, size, path) : refuse(path, 0, "no memory is free for the tokenizer");
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

static int look_up(const Pieces *p, const char *bytes, uint32_t length)
{
    uint32_t low = 0, high = p->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const Piece *piece = &p->pieces[p->sorted[middle]];
        int order = compare(bytes, length, piece->bytes, piece->length);
        if (order == 0) {
            return (int)p->sorted[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NO_TOKEN;
}

// A number that is the less the better a score is: the order of floats, turned round.
static uint32_t rank_of(float score)
{
    uint32_t bits;
    score += 0.0f;  // the zeros are equal
    memcpy(&bits, &score, sizeof bits);
    return bits >> 31 ? bits : ~bits & 0x7fffffff;
}

// The token whose piece is the two tokens' pieces one after the other.
static Merge look_up_pair(const void *context, int first, int second)
{
    const Pieces *p = context;
    const Piece *a = &p->pieces[first], *b = &p->pieces[second];
    memcpy(p->pair, a->bytes, a->length);
    memcpy(p->pair + a->length, b->bytes, b->length);
    int token = look_up(p, p->pair, a->length + b->length);
    if (token == NO_TOKEN || !(p->pieces[token].score > -1e10f)) {
        return (Merge){NO_MERGE, 0};
    }
    return (Merge){rank_of(p->pieces[token].score), token};
}

// One token for every character that has one, else one for each of its bytes. A character is a lead byte and up to
// three continuation bytes, well formed or not.
static int64_t split_characters(const Pieces *p, const char *text, uint64_t size, int *tokens)
{
    int64_t n = 0;
    for (uint64_t start = 0, length; start < size; start += length) {
        for (length = 1; length < 4 && start + length < size && (text[start + length] & 0xc0) == 0x80; length++) {
        }
        int token = look_up(p, text + start, (uint32_t)length);
        if (token != NO_TOKEN) {
            tokens[n++] = token;
        } else {
            for (uint64_t i = start; i < start + length; i++) {
                tokens[n++] = (unsigned char)text[i] + TOKEN_FIRST_BYTE;
            }
        }
    }
    return n;
}

int pieces_sort(Pieces *p)
{
    p->sorted = allocate(MEMORY_TOKENIZER_ORDER, (Extents){.pieces = p->count});
    if (!p->sorted) {
        print(STANDARD_ERROR, "error: no memory is free for the prompt\n");
        return 0;
    }
    for (uint32_t i = 0; i < p->count; i++) {
        p->sorted[i] = i;
    }
    stable_sort(p->sorted, p->sorted + p->count, p->count, by_bytes, p->pieces);
    return 1;
}

uint32_t pieces_longest(const Pieces *p)
{
    uint32_t longest = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        longest = p->pieces[i].length > longest ? p->pieces[i].length : longest;
    }
    return longest;
}

int64_t pieces_encode(Pieces *p, const char *text, uint64_t length, int *tokens, const Merge_Scratch *scratch)
{
    int64_t n = 0;
    if (p->begin >= 0) {
        tokens[n++] = p->begin;
    }
    if (!length) {
        return n;
    }
    if (!p->sorted && !pieces_sort(p)) {
        return -1;
    }
    int space = p->space ? look_up(p, " ", 1) : NO_TOKEN;
    if (space != NO_TOKEN) {
        tokens[n++] = space;
    }
    n += split_characters(p, text, length, tokens + n);
    for (int64_t i = 0; i < n; i++) {
        if (tokens[i] >= (int64_t)p->count) {
            print(STANDARD_ERROR, "error: the prompt has a byte %u, and the vocabulary has no token for it\n",
                  (uint64_t)(tokens[i] - TOKEN_FIRST_BYTE));
            return -1;
        }
    }
    return merge_tokens(tokens, (uint32_t)n, scratch, look_up_pair, p);
}

static int hexadecimal(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

Piece pieces_decode(const Pieces *p, int previous, int token)
{
    static char byte;
    Piece piece = p->pieces[token];
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
