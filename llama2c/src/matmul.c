// Matrix times vectors: the kernel of the matrix's type, on all hardware threads.
#include "matmul.h"

#include <stdint.h>

#include "parallel.h"

enum { LEAST_SHARE = 8192 };    // multiply-adds that are worth a thread of their own
enum { VECTOR_ALIGNMENT = 16 };  // bytes
enum { ROWS_AT_ONCE = 8 };       // of w, which stay in the first-level cache for all positions

typedef struct {
    Product product;
    Share *rows;
} Each_Position;

// For types without a kernel for several positions.
static void share_each_position(const void *context, int start, int end)
{
    const Each_Position *e = context;
    for (int row = start; row < end; row += ROWS_AT_ONCE) {
        int behind = end - row < ROWS_AT_ONCE ? end : row + ROWS_AT_ONCE;
        Product own = e->product;
        own.positions = 1;
        for (int i = 0; i < e->product.positions; i++) {
            e->rows(&own, row, behind);
            own.out += own.w.d;
            own.x += own.w.n;
        }
    }
}

void matmul(float *out, const float *x, const Matrix *w, int positions, Kernel kernel)
{
    const Tensor_Type *type = w->type;
    uintptr_t beside = ((uintptr_t)x & (VECTOR_ALIGNMENT - 1)) | ((uintptr_t)w->data & (uintptr_t)(type->vmx_alignment - 1));
    int odd = (w->n & (type->vmx_items - 1)) | (type->items ? 0 : w->block & (type->vmx_items - 1));
    int whole_vectors = odd == 0 && w->n % (VECTOR_ALIGNMENT / (int)sizeof(float)) == 0;
    int fits = type->vmx_most_items == 0 || w->n <= type->vmx_most_items;
    Kernel used = beside == 0 && whole_vectors && fits ? kernel : KERNEL_SCALAR;
    Each_Position each = {{out, x, *w, positions}, type->rows[used]};
    int grain = (int)(LEAST_SHARE / ((int64_t)w->n * positions)) + 1;
    if (positions == 1) {
        parallel_for(w->d, grain, type->rows[used], &each.product);
    } else if (type->batch[used]) {
        parallel_for(w->d, grain, type->batch[used], &each.product);
    } else {
        parallel_for(w->d, grain, share_each_position, &each);
    }
}
