// Matrix times vectors: the kernel of the matrix's type, on all hardware threads.
#include "matmul.h"

#include <stdint.h>

#include "parallel.h"

enum { LEAST_SHARE = 8192 };    // multiply-adds that are worth a thread of their own
enum { VECTOR_ALIGNMENT = 16 };  // bytes
enum { ROWS_AT_ONCE = 8 };       // of w, which stay in the first-level cache for all positions

typedef struct {
    Product product;  // ahead, for the kernels
    Share *rows;      // of the type, for a product of one position
    Share *share;     // of any number of rows of this product
} Shared_Product;

typedef struct {
    Shared_Product products[MOST_PROJECTIONS];
    int count;
} Joint_Product;

// For types without a kernel for several positions.
static void share_each_position(const void *context, int start, int end)
{
    const Shared_Product *e = context;
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

// The rows of all products, numbered through.
static void share_products(const void *context, int start, int end)
{
    const Joint_Product *joint = context;
    for (int i = 0; i < joint->count && end > 0; i++) {
        const Shared_Product *p = &joint->products[i];
        int d = p->product.w.d, first = start > 0 ? start : 0, behind = end < d ? end : d;
        if (first < behind) {
            p->share(p, first, behind);
        }
        start -= d;
        end -= d;
    }
}

static inline Shared_Product shared_product(const float *x, const Projection *projection, int positions, Kernel kernel)
{
    const Matrix *w = &projection->w;
    const Tensor_Type *type = w->type;
    uintptr_t beside = ((uintptr_t)x & (VECTOR_ALIGNMENT - 1)) | ((uintptr_t)w->data & (uintptr_t)(type->vmx_alignment - 1));
    int odd = (w->n & (type->vmx_items - 1)) | (type->items ? 0 : w->block & (type->vmx_items - 1));
    int whole_vectors = odd == 0 && w->n % (VECTOR_ALIGNMENT / (int)sizeof(float)) == 0;
    int fits = type->vmx_most_items == 0 || w->n <= type->vmx_most_items;
    Kernel used = beside == 0 && whole_vectors && fits ? kernel : KERNEL_SCALAR;
    Share *batch = type->batch[used] ? type->batch[used] : share_each_position;
    Share *rows = type->rows[used];
    return (Shared_Product){{projection->out, x, *w, positions}, rows, positions == 1 ? rows : batch};
}

void matmul(const float *x, const Projection *projections, int count, int positions, Kernel kernel)
{
    Joint_Product joint;
    int rows = 0;
    for (joint.count = 0; joint.count < count; joint.count++) {
        const Projection *projection = &projections[joint.count];
        joint.products[joint.count] = shared_product(x, projection, positions, kernel);
        rows += projection->w.d;
    }
    int grain = (int)(LEAST_SHARE / ((int64_t)projections->w.n * positions)) + 1;
    if (count == 1) {
        parallel_for(rows, grain, joint.products->share, joint.products);
    } else {
        parallel_for(rows, grain, share_products, &joint);
    }
}
