// Matrix times vector: the kernel of the matrix's type, on all hardware threads.
#include "matmul.h"

#include <stdint.h>

#include "parallel.h"

enum { LEAST_SHARE = 16384 };    // multiply-adds that are worth a thread of their own
enum { VECTOR_ALIGNMENT = 16 };  // bytes

void matmul(float *out, const float *x, const Matrix *w, Kernel kernel)
{
    const Tensor_Type *type = w->type;
    uintptr_t beside = ((uintptr_t)x & (VECTOR_ALIGNMENT - 1)) | ((uintptr_t)w->data & (uintptr_t)(type->vmx_alignment - 1));
    int aligned = beside == 0 && (w->n & (type->vmx_items - 1)) == 0;
    Product product = {out, x, *w};
    parallel_for(w->d, LEAST_SHARE / w->n + 1, type->rows[aligned ? kernel : KERNEL_SCALAR], &product);
}
