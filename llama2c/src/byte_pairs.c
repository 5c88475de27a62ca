// Byte-level BPE: special tokens are cut out, the stretches between split into pieces, the bytes of a piece merged.
#include "byte_pairs.h"

#include "memory.h"

typedef struct {
    uint64_t start, end;
    uint32_t token;  // ABSENT: the text ends here
} Match;

static Merge merge_of(const void *context, int left, int right)
{
    const Byte_Pairs *b = context;
    uint64_t wanted = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint32_t low = 0, high = b->header->merge_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const Pair *pair = &b->pairs[middle];
        uint64_t key = (uint64_t)pair->left << 32 | pair->right;
        if (key == wanted) {
            return (Merge){pair->rank, (int)pair->token};
        }
        if (key < wanted) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return (Merge){NO_MERGE, 0};
}

static uint32_t length_of(const Byte_Pairs *b, uint32_t token)
{
    return b->starts[token + 1] - b->starts[token];
}

// Negative, zero or positive as byte i of a token is less, equal or more than c; its end is less than any byte.
static int compare_byte(const Byte_Pairs *b, uint32_t token, uint64_t i, char c)
{
    if (i >= length_of(b, token)) {
        return -1;
    }
    return (int)(unsigned char)b->text[b->starts[token] + i] - (int)(unsigned char)c;
}

// The longest special token that text (length) begins with. The range of tokens that agree with it narrows by a byte
// at a time.
static Match special_at(const Byte_Pairs *b, const char *text, uint64_t length, int special)
{
    Match match = {0, 0, ABSENT};
    uint32_t first = 0, last = b->header->special_count;
    for (uint64_t i = 0; i < length && first < last; i++) {
        for (uint32_t bound = 0; bound < 2; bound++) {  // the first not before text[i], the first behind it
            uint32_t low = first, high = last;
            while (low < high) {
                uint32_t middle = (low + high) / 2;
                if (compare_byte(b, b->specials[middle].token, i, text[i]) < (int)bound) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            first = bound ? first : low;
            last = bound ? low : last;
        }
        if (first < last && length_of(b, b->specials[first].token) == i + 1 &&
            (special || b->specials[first].kind == SPECIAL_USER_DEFINED)) {
            match = (Match){0, i + 1, b->specials[first].token};
        }
    }
    return match;
}

static Match next_special(const Byte_Pairs *b, const char *text, uint64_t start, uint64_t length, int special)
{
    for (; start < length && b->header->special_count; start++) {
        Match match = {0, 0, ABSENT};
        if (b->begins_special[(unsigned char)text[start]]) {
            match = special_at(b, text + start, length - start, special);
        }
        if (match.token != ABSENT) {
            return (Match){start, start + match.end, match.token};
        }
    }
    return (Match){length, length, ABSENT};
}

// The token that is these bytes, of those that are taken for whole pieces.
static uint32_t whole_piece(const Byte_Pairs *b, const char *bytes, uint64_t length)
{
    uint32_t low = 0, high = b->header->whole_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2, token = b->whole[middle];
        uint64_t i = 0;
        int order = 0;
        while (i < length && order == 0) {
            order = compare_byte(b, token, i, bytes[i]);
            i++;
        }
        if (order == 0 && length_of(b, token) == length) {
            return token;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return ABSENT;
}

// Bytes that have no token are left out before anything merges.
static uint32_t encode_piece(const Byte_Pairs *b, const char *bytes, uint64_t length, int *tokens,
                             const Merge_Scratch *scratch)
{
    uint32_t n = 0, whole = b->header->whole_count ? whole_piece(b, bytes, length) : ABSENT;
    if (whole != ABSENT) {
        tokens[n++] = (int)whole;
        return n;
    }
    for (uint64_t i = 0; i < length; i++) {
        uint32_t token = b->byte_tokens[(unsigned char)bytes[i]];
        if (token != ABSENT) {
            tokens[n++] = (int)token;
        }
    }
    return merge_tokens(tokens, n, scratch, merge_of, b);
}

int64_t byte_pairs_encode(const Byte_Pairs *b, const char *text, uint64_t length, int special, int *tokens,
                          const Merge_Scratch *scratch)
{
    int64_t n = 0;
    if (b->header->flags & FLAG_ADD_BEGIN) {
        tokens[n++] = (int)b->header->begin;
    }
    for (uint64_t start = 0; start < length;) {
        Match match = next_special(b, text, start, length, special);
        Split split = {(Splitting)b->header->splitting, text, match.start, 0};
        while (start < match.start) {
            uint64_t end = split_next(&split, start);
            n += encode_piece(b, text + start, end - start, tokens + n, scratch);
            start = end;
        }
        if (match.token != ABSENT) {
            tokens[n++] = (int)match.token;
        }
        start = match.end;
    }
    return n;
}

int byte_pairs_ends(const Byte_Pairs *b, int token)
{
    for (uint32_t i = 0; i < b->header->end_count; i++) {
        if (b->header->ends[i] == (uint32_t)token) {
            return 1;
        }
    }
    return 0;
}

int byte_pairs_is_control(const Byte_Pairs *b, int token)
{
    for (uint32_t i = 0; i < b->header->special_count; i++) {
        if (b->specials[i].token == (uint32_t)token) {
            return b->specials[i].kind == SPECIAL_CONTROL;
        }
    }
    return 0;
}
