// How many bytes each allocation of the guest takes: the formulas; allocations.def has the rows.
// Both files have two readers: the guest allocates by them, and llama2c/allocations.py, which has no compiler, predicts
// a run's memory by them. A formula is made of integers, + - * /, the fields of p and the macros of this file.
#ifndef ALLOCATIONS_H
#define ALLOCATIONS_H

#include <stdint.h>

#include "transformer.h"

typedef struct {
    uint64_t dim, hidden_dim, n_layers, n_heads, n_kv_heads, head_size, kv_dim, vocab_size;
    uint64_t seq_len;          // positions that the caches hold
    uint64_t kv_bytes;         // of an item of the caches
    uint64_t int8_activations; // 1 where matrices are multiplied by int8, else 0
    uint64_t quantised_planes; // of the matrices that are no fp32, at most
    uint64_t weight_bytes;     // all weights, each in whole cache lines
    uint64_t tokenizer_bytes;  // the tokenizer's file
    uint64_t prompt_bytes;
    uint64_t prompt_file_bytes;  // the same, where the prompt is a file
    uint64_t conversations;    // 1 for a conversation, 0 for a story
    uint64_t pieces;           // of llama2.c's tokenizer file; 0: another kind of tokenizer
    uint64_t longest_piece;    // bytes, of the same
} Extents;

#define CACHE_LINE 128  // bytes; the console's recommended alignment
#define CEIL_DIVIDE(a, b) (((a) + (b) - 1) / (b))
#define LINES(bytes) (CEIL_DIVIDE(bytes, CACHE_LINE) * CACHE_LINE)
#define ARRAY(words) LINES(4 * (words))
#define LARGER(a, b) ((a) + ((b) > (a)) * ((b) - (a)))
#define FOURS(words) (CEIL_DIVIDE(words, 4) * 4)  // whole vectors

// Positions of a prompt that go through the layers in one pass over the weights. With eight a core of the console
// multiplies about as long as it waits for weights (docs/estimate.md); more would save little and take more memory.
#define BATCH 8

#define PIECE_BYTES 16
#define MERGE_BYTES 32                       // of merging, for each token at first
#define PROMPT_TOKENS(bytes) ((bytes) + 2)  // a token a byte, one that begins the text, a space before it
#define MOST_PROMPT_BYTES 0x7fffff00
#define MOST_REQUEST_BYTES (60 * 1024)       // of a conversation; with its frame it fits in a pipe of 64 KiB
#define THREAD_STACK_BYTES (64 * 1024)

#define GPU_RING_WORDS 512
#define GPU_MOST_WORDS (16 * 1024 * 1024 - 1)  // that a fetch constant can describe
#define GPU_PROGRAMS 19
#define GPU_PROGRAM_WORDS 8

// Words of PM4 packets: gpu_draw sets fetch constants and loop constants, loads a program and draws.
#define DRAW_WORDS(arrays, shapes) ((2 + 2 * (arrays)) + (2 + (shapes)) + 3 + 2)
#define CONSTANT_WORDS 3
#define PICK_WORDS DRAW_WORDS(2, 1)  // softmax, argmax
// Of the operations in forward_gpu.c.
#define TABLE_PIECES(rows, columns) CEIL_DIVIDE(rows, GPU_MOST_WORDS / (columns))
// Shapes of a matrix that is no fp32: the items of a block, and the bytes of a row of each plane.
#define PLANES(p) (p.quantised_planes + (p.quantised_planes == 0))
#define PLANE_SHAPES(p) (p.quantised_planes + (p.quantised_planes > 0))
#define MATMUL_WORDS(p, n, d) (TABLE_PIECES(d, n) * DRAW_WORDS(2 + PLANES(p), 3 + PLANE_SHAPES(p)))
#define VECTORS_WORDS DRAW_WORDS(3, 1)  // rmsnorm, swiglu, add
#define EMBED_WORDS(p) DRAW_WORDS(1 + PLANES(p) * TABLE_PIECES(p.vocab_size, p.dim), 3 + PLANE_SHAPES(p))
#define ROPE_WORDS DRAW_WORDS(2, 2)
#define STORE_ROWS_WORDS DRAW_WORDS(2, 2)
#define TAKE_ROW_WORDS DRAW_WORDS(2, 2)
#define ATTEND_WORDS DRAW_WORDS(4, 4)
// Of the forward pass in forward.c.
#define ATTENTION_WORDS(p)                                                                                             \
    (VECTORS_WORDS + 2 * MATMUL_WORDS(p, p.dim, p.dim) + 2 * MATMUL_WORDS(p, p.dim, p.kv_dim) + 2 * ROPE_WORDS +             \
     2 * STORE_ROWS_WORDS + ATTEND_WORDS + VECTORS_WORDS)
#define FEED_FORWARD_WORDS(p)                                                                                          \
    (VECTORS_WORDS + 2 * MATMUL_WORDS(p, p.dim, p.hidden_dim) + VECTORS_WORDS + MATMUL_WORDS(p, p.hidden_dim, p.dim) +       \
     VECTORS_WORDS)
#define FORWARD_WORDS(p)                                                                                               \
    (CONSTANT_WORDS + EMBED_WORDS(p) + p.n_layers * (ATTENTION_WORDS(p) + FEED_FORWARD_WORDS(p)))
#define CLASSIFY_WORDS(p)                                                                                              \
    (CONSTANT_WORDS + TAKE_ROW_WORDS + VECTORS_WORDS + MATMUL_WORDS(p, p.dim, p.vocab_size))

typedef enum {
#define ALLOCATION(identifier, name, users, condition, bytes) MEMORY_##identifier,
#include "allocations.def"
} Allocation;

// What a configuration says; the other fields are 0.
Extents extents_of(const Config *config);
// Zeroed memory of the row's size, under the row's name; NULL when there is no room.
void *allocate(Allocation allocation, Extents p);

#endif
