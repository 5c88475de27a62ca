// Checks the converted tokenizer file of byte-level BPE before any of it is used. docs/formats.md describes it.
#include "byte_pairs.h"
#include "memory.h"
#include "platform.h"
#include "text.h"

typedef struct {
    const Byte_Pairs *pairs;
    const char *file;
    const char *path;
} Check;

static int refuse_word(const Check *check, const uint32_t *word, const char *what)
{
    return refuse(check->path, (uint64_t)((const char *)word - check->file), what);
}

static int check_header(const Check *check)
{
    const Byte_Pairs_Header *h = check->pairs->header;
    if (h->version != BYTE_PAIRS_VERSION) {
        return refuse_word(check, &h->version, "a version of the tokenizer file that is not known");
    }
    if (h->kind != KIND_BYTE_LEVEL) {
        return refuse_word(check, &h->kind, "a kind of tokenizer that is not known");
    }
    if (h->splitting == 0 || h->splitting > SPLIT_LAST) {
        return refuse_word(check, &h->splitting, "a pre-tokenizer that is not known");
    }
    if (h->flags & ~(uint32_t)FLAGS) {
        return refuse_word(check, &h->flags, "flags that are not known");
    }
    if (h->vocab_size == 0 || h->vocab_size > INT32_MAX) {
        return refuse_word(check, &h->vocab_size, "a number of tokens that cannot be");
    }
    if (h->begin >= h->vocab_size && (h->begin != ABSENT || (h->flags & FLAG_ADD_BEGIN))) {
        return refuse_word(check, &h->begin, "the token that begins a text is not in the vocabulary");
    }
    if (h->end_count > MOST_ENDS) {
        return refuse_word(check, &h->end_count, "too many tokens that end a text");
    }
    for (uint32_t i = 0; i < h->end_count; i++) {
        if (h->ends[i] >= h->vocab_size) {
            return refuse_word(check, &h->ends[i], "a token that ends a text is not in the vocabulary");
        }
    }
    return 1;
}

static int check_texts(const Check *check)
{
    const Byte_Pairs *b = check->pairs;
    for (uint32_t byte = 0; byte < 256; byte++) {
        if (b->byte_tokens[byte] != ABSENT && b->byte_tokens[byte] >= b->header->vocab_size) {
            return refuse_word(check, &b->byte_tokens[byte], "a byte's token is not in the vocabulary");
        }
    }
    for (uint32_t i = 0; i <= b->header->vocab_size; i++) {
        uint32_t least = i ? b->starts[i - 1] : 0, most = i ? b->header->text_bytes : 0;
        if (b->starts[i] < least || b->starts[i] > most || (i == b->header->vocab_size && b->starts[i] != most)) {
            return refuse_word(check, &b->starts[i], "a token's bytes are not behind those of the one before");
        }
    }
    return 1;
}

static uint32_t length_of(const Byte_Pairs *b, uint32_t token)
{
    return b->starts[token + 1] - b->starts[token];
}

static int compare_tokens(const Byte_Pairs *b, uint32_t one, uint32_t other)
{
    uint32_t i = 0, n = length_of(b, one), m = length_of(b, other);
    for (; i < n && i < m; i++) {
        unsigned char x = (unsigned char)b->text[b->starts[one] + i], y = (unsigned char)b->text[b->starts[other] + i];
        if (x != y) {
            return x < y ? -1 : 1;
        }
    }
    return n < m ? -1 : n > m;
}

// Whether a merge's token is its two tokens one after the other: no merge then leads back to what it came from.
static int is_sum(const Byte_Pairs *b, const Pair *pair)
{
    uint32_t left = length_of(b, pair->left), right = length_of(b, pair->right);
    const char *sum = b->text + b->starts[pair->token];
    if (!left || !right || length_of(b, pair->token) != (uint64_t)left + right) {
        return 0;
    }
    for (uint32_t i = 0; i < left + right; i++) {
        const char *part = i < left ? b->text + b->starts[pair->left] + i : b->text + b->starts[pair->right] + (i - left);
        if (sum[i] != *part) {
            return 0;
        }
    }
    return 1;
}

static int check_pairs(const Check *check)
{
    const Byte_Pairs *b = check->pairs;
    for (uint32_t i = 0; i < b->header->merge_count; i++) {
        const Pair *pair = &b->pairs[i], *before = i ? pair - 1 : 0;
        const uint32_t *const named[] = {&pair->left, &pair->right, &pair->token};
        for (int n = 0; n < 3; n++) {
            if (*named[n] >= b->header->vocab_size) {
                return refuse_word(check, named[n], "a merge names a token that is not in the vocabulary");
            }
        }
        if (pair->rank >= b->header->merge_count) {
            return refuse_word(check, &pair->rank, "a merge's rank is not below the number of merges");
        }
        if (before && (before->left > pair->left || (before->left == pair->left && before->right >= pair->right))) {
            return refuse_word(check, &pair->left, "a merge is not behind the one before");
        }
        if (!is_sum(b, pair)) {
            return refuse_word(check, &pair->token, "a merge's token is not its two tokens");
        }
    }
    return 1;
}

static int check_lists(const Check *check)
{
    const Byte_Pairs *b = check->pairs;
    for (uint32_t i = 0; i < b->header->special_count; i++) {
        const Special *special = &b->specials[i];
        if (special->token >= b->header->vocab_size || length_of(b, special->token) == 0) {
            return refuse_word(check, &special->token, "a special token is not in the vocabulary, or is empty");
        }
        if (special->kind >= SPECIAL_KINDS) {
            return refuse_word(check, &special->kind, "a kind of special token that is not known");
        }
        if (i && compare_tokens(b, b->specials[i - 1].token, special->token) >= 0) {
            return refuse_word(check, &special->token, "a special token is not behind the one before");
        }
    }
    for (uint32_t i = 0; i < b->header->whole_count; i++) {
        if (b->whole[i] >= b->header->vocab_size) {
            return refuse_word(check, &b->whole[i], "a whole piece is not in the vocabulary");
        }
        if (i && compare_tokens(b, b->whole[i - 1], b->whole[i]) >= 0) {
            return refuse_word(check, &b->whole[i], "a whole piece is not behind the one before");
        }
    }
    return 1;
}

int byte_pairs_read(Byte_Pairs *b, const char *file, uint64_t size, const char *path)
{
    const Byte_Pairs_Header *h = (const Byte_Pairs_Header *)(const void *)file;
    if (size < sizeof *h) {
        return refuse(path, size, "the header of the tokenizer is cut off");
    }
    uint64_t words = 256 + (uint64_t)h->vocab_size + 1 + 4 * (uint64_t)h->merge_count + 2 * (uint64_t)h->special_count +
                     h->whole_count;
    b->header = h;
    b->byte_tokens = (const uint32_t *)(h + 1);
    b->starts = b->byte_tokens + 256;
    b->pairs = (const Pair *)(b->starts + h->vocab_size + 1);
    b->specials = (const Special *)(b->pairs + h->merge_count);
    b->whole = (const uint32_t *)(b->specials + h->special_count);
    b->text = (const char *)(b->whole + h->whole_count);
    Check check = {b, file, path};
    if (!check_header(&check)) {
        return 0;
    }
    if (sizeof *h + 4 * words + h->text_bytes != size) {
        print(STANDARD_ERROR, "error: %s: %u bytes, its header wants %u\n", path, size,
              sizeof *h + 4 * words + h->text_bytes);
        return 0;
    }
    if (!check_texts(&check) || !check_pairs(&check) || !check_lists(&check)) {
        return 0;
    }
    memset(b->begins_special, 0, sizeof b->begins_special);
    for (uint32_t i = 0; i < h->special_count; i++) {
        b->begins_special[(unsigned char)b->text[b->starts[b->specials[i].token]]] = 1;
    }
    return 1;
}
