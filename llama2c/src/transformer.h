// The Llama 2 transformer: its configuration, weights and state. Activations are fp32.
#ifndef TRANSFORMER_H
#define TRANSFORMER_H

#include "tensor_types.h"

enum { MOST_END_TOKENS = 4 };

typedef struct {
    int dim;         // of the embedding and the residual stream
    int hidden_dim;  // of the feed-forward network
    int n_layers;
    int n_heads;     // query heads
    int n_kv_heads;  // key and value heads; n_heads / n_kv_heads query heads share one
    int vocab_size;
    int seq_len;     // the longest context
    float rope_theta;    // the base of the rotary embedding's frequencies
    float rms_norm_eps;  // in the root of every rmsnorm
    int begin_token;     // of a text
    int end_tokens[MOST_END_TOKENS];  // of a text; -1 where there are fewer
    int no_begin_token;   // whether a prompt has none
    int no_space_prefix;  // whether no space is put before a prompt
    int kv_bytes;         // of an item of the caches: 4, floats, or 2, halves
    int int8_activations;  // whether matrices are multiplied by int8, as runq.c does
} Config;

// A matrix of n_layers is the first layer's; layer() gives the others.
typedef struct {
    Matrix token_embedding_table;   // (vocab_size, dim)
    const float *rms_att_weight;    // (n_layers, dim)
    const float *rms_ffn_weight;    // (n_layers, dim)
    Matrix wq;                      // (n_layers, dim, dim)
    Matrix wk;                      // (n_layers, kv_dim, dim)
    Matrix wv;                      // (n_layers, kv_dim, dim)
    Matrix wo;                      // (n_layers, dim, dim)
    Matrix w1;                      // (n_layers, hidden_dim, dim)
    Matrix w2;                      // (n_layers, dim, hidden_dim)
    Matrix w3;                      // (n_layers, hidden_dim, dim)
    const float *rms_final_weight;  // (dim)
    Matrix wcls;                    // (vocab_size, dim); the embedding table again where the two are shared
} Weights;

// BATCH positions go through the layers together (allocations.h).
typedef struct {
    float *x;            // (BATCH, dim) the residual stream
    float *xb;           // (BATCH, dim) inside a branch of it
    float *xb2;          // (BATCH, dim)
    float *hb;           // (BATCH, hidden_dim)
    float *hb2;          // (BATCH, hidden_dim)
    float *q;            // (BATCH, dim)
    float *k;            // (BATCH, kv_dim) on its way into the cache
    float *v;            // (BATCH, kv_dim)
    float *keys;         // (n_kv_heads, seq_len, head_size) of the layer at hand, where the caches hold halves
    float *values;       // (n_kv_heads, seq_len, head_size)
    float *xq;           // (BATCH, dim or hidden_dim) what a matrix is multiplied by, where that is int8
    float *xq_scales;    // at most (BATCH, dim or hidden_dim)
    float *att;          // (n_heads, seq_len in whole vectors) attention scores of a position
    float *logits;       // (vocab_size) of one position
    float *rope_freq;    // (head_size / 2) angle per position
    float *rope_cos;     // (BATCH, head_size / 2) at each position of the pass
    float *rope_sin;     // (BATCH, head_size / 2)
    void *key_cache;     // (n_layers, n_kv_heads, seq_len, head_size), floats or halves; the GPU's has the
    void *value_cache;   // positions outside: (n_layers, seq_len, n_kv_heads, head_size)
} Run_State;

typedef struct {
    Config config;
    Weights weights;
    Run_State state;
    Kernel kernel;
} Transformer;

// Allocates the state for the configuration: 1, or 0 when there is no room.
int transformer_start(Transformer *transformer);

#endif
