// A tensor type for tests: four int8 items behind a float that scales them. Both kernels are the scalar one.
#include "tensor_types.h"

typedef struct {
    float scale;
    int8_t items[4];
} Block;

static float item(const Matrix *w, int64_t i, int j)
{
    const Block *block = (const Block *)w->data + i * (w->n / 4) + j / 4;
    return block->scale * (float)block->items[j % 4];
}

static void rows_fours(const void *context, int start, int end)
{
    const Product *p = context;
    for (int i = start; i < end; i++) {
        float sum = 0.0f;
        for (int j = 0; j < p->w.n; j++) {
            sum += item(&p->w, i, j) * p->x[j];
        }
        p->out[i] = sum;
    }
}

static void scale_row(float *out, const Matrix *w, int64_t i)
{
    for (int j = 0; j < w->n; j++) {
        out[j] = item(w, i, j);
    }
}

const Tensor_Type tensor_scaled_fours = {
    .name = "scaled fours",
    .code = 1000,
    .items = 4,
    .bytes = sizeof(Block),
    .rows = {rows_fours, rows_fours},
    .vmx_items = 1,
    .vmx_alignment = 1,
    .row = scale_row,
};
