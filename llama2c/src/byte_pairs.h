// Byte-level BPE: the converted tokenizer file (docs/formats.md), used as it lies in memory.
#ifndef BYTE_PAIRS_H
#define BYTE_PAIRS_H

#include "merge.h"
#include "split.h"

#define BYTE_PAIRS_MAGIC 0x78746f6bu  // "xtok"
#define BYTE_PAIRS_VERSION 1u
#define ABSENT UINT32_MAX  // instead of a token's number
enum { KIND_BYTE_LEVEL = 1, MOST_ENDS = 4 };
enum { FLAG_ADD_BEGIN = 1, FLAG_WHOLE_PIECES = 2, FLAGS = 3 };
enum { SPECIAL_CONTROL, SPECIAL_USER_DEFINED, SPECIAL_KINDS };

typedef struct {
    uint32_t magic, version, kind, splitting, flags;
    uint32_t vocab_size, merge_count, special_count, whole_count, text_bytes;
    uint32_t begin;  // begins a text; ABSENT: none does
    uint32_t end_count, ends[MOST_ENDS];
} Byte_Pairs_Header;

typedef struct {
    uint32_t left, right, rank, token;
} Pair;

typedef struct {
    uint32_t token, kind;
} Special;

// The parts of the file in their order.
typedef struct {
    const Byte_Pairs_Header *header;
    const uint32_t *byte_tokens;  // (256) or ABSENT
    const uint32_t *starts;       // (vocab_size + 1) of each token's bytes in text
    const Pair *pairs;            // (merge_count) in the order of left and right
    const Special *specials;      // (special_count) in the order of their bytes
    const uint32_t *whole;        // (whole_count) tokens in the order of their bytes, taken for whole pieces
    const char *text;             // (text_bytes)
    uint8_t begins_special[256];  // whether a special token begins with the byte
} Byte_Pairs;

// Checks a file that has been read, in words of the machine's order, aligned to 4 bytes. 1, or 0 after a message.
int byte_pairs_read(Byte_Pairs *pairs, const char *file, uint64_t size, const char *path);
// A text's tokens, which take room for length + 1: their number. Without `special` control tokens are plain text.
int64_t byte_pairs_encode(const Byte_Pairs *pairs, const char *text, uint64_t length, int special, int *tokens,
                          const Merge_Scratch *scratch);
int byte_pairs_ends(const Byte_Pairs *pairs, int token);
int byte_pairs_is_control(const Byte_Pairs *pairs, int token);

#endif
