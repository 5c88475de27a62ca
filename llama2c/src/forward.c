// The forward pass of Llama 2 (Touvron et al., 2023) in llama2.c's order of operations, for a batch of positions: those
// of a prompt that are read together, or the one after the last token.
#include "operations.h"

#include <stdint.h>

void forward(const Operations *operations, void *machine, const Transformer *transformer)
{
    const Operations *o = operations;
    const Config *p = &transformer->config;
    const Weights *w = &transformer->weights;
    const Run_State *s = &transformer->state;
    int dim = p->dim, hidden_dim = p->hidden_dim;
    int64_t layer_cache = (int64_t)p->seq_len * (dim / p->n_heads) * p->n_kv_heads * p->kv_bytes;

    o->embed(machine, s->x, &w->token_embedding_table);
    for (int64_t l = 0; l < p->n_layers; l++) {
        // The layer's matrices
        Matrix wq = layer(w->wq, l), wk = layer(w->wk, l), wv = layer(w->wv, l), wo = layer(w->wo, l);
        Matrix w1 = layer(w->w1, l), w2 = layer(w->w2, l), w3 = layer(w->w3, l);

        // Attention: q, k and v of these positions; k and v become their rows of the layer's caches.
        void *keys = (char *)s->key_cache + l * layer_cache, *values = (char *)s->value_cache + l * layer_cache;
        o->rmsnorm(machine, s->xb, s->x, w->rms_att_weight + l * dim, dim);
        o->matmul(machine, s->xb, (Projection[]){{s->q, wq}, {s->k, wk}, {s->v, wv}}, 3);
        o->rope(machine, s->q, p->n_heads);
        o->rope(machine, s->k, p->n_kv_heads);
        o->store_rows(machine, keys, s->k);
        o->store_rows(machine, values, s->v);
        o->attend(machine, s->xb, s->q, keys, values);
        o->matmul(machine, s->xb, &(Projection){s->xb2, wo}, 1);
        o->add(machine, s->x, s->xb2, dim);

        // Feed-forward: w2(silu(w1 x) * w3 x)
        o->rmsnorm(machine, s->xb, s->x, w->rms_ffn_weight + l * dim, dim);
        o->matmul(machine, s->xb, (Projection[]){{s->hb, w1}, {s->hb2, w3}}, 2);
        o->swiglu(machine, s->hb, s->hb2, hidden_dim);
        o->matmul(machine, s->hb, &(Projection){s->xb, w2}, 1);
        o->add(machine, s->x, s->xb, dim);
    }
}

void classify(const Operations *operations, void *machine, const Transformer *transformer)
{
    const Operations *o = operations;
    const Weights *w = &transformer->weights;
    const Run_State *s = &transformer->state;
    int dim = transformer->config.dim;

    o->take_row(machine, s->xb, s->x, dim);
    o->rmsnorm(machine, s->xb, s->xb, w->rms_final_weight, dim);
    o->matmul(machine, s->xb, &(Projection){s->logits, w->wcls}, 1);
}
