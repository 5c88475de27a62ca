// Tensor types: how the items of a matrix lie in memory, and what computes with them. A type is a file with its kernels
// and its row (fp32.c), a line in tensor_types.def and a line in build.py. Its kernels for one position are enough:
// prompts are read with kernels of their own (`batch`) where a type has some, which load a weight once for all positions.
#ifndef TENSOR_TYPES_H
#define TENSOR_TYPES_H

#include <stdint.h>

#include "parallel.h"

typedef enum { KERNEL_SCALAR, KERNEL_VMX, KERNELS } Kernel;

typedef struct Tensor_Type Tensor_Type;

// A matrix (d, n), row-major; each row is whole blocks.
typedef struct {
    const Tensor_Type *type;
    const void *data;
    int d;  // rows
    int n;  // items in a row
} Matrix;

// out (positions, d): w (d, n) times each row of x (positions, n)
typedef struct {
    float *out;
    const float *x;
    Matrix w;
    int positions;
} Product;

struct Tensor_Type {
    const char *name;
    uint32_t code;         // the type's number in ggml (ggml.h, ggml_type); from 256 on for what ggml lacks
    int items;             // in a block
    int bytes;             // of a block
    Share *rows[KERNELS];  // of a Product of one position: out[start to end) = those rows of w times x
    // The same of a Product of any number of positions, with the bits of `rows` for each of them. NULL: `rows` serves,
    // for one position after the other.
    Share *batch[KERNELS];
    int vmx_items;         // a power of two: the VMX kernel needs n to be a multiple of it
    int vmx_alignment;     // in bytes, a power of two: the VMX kernel needs w to be aligned to it
    void (*row)(float *out, const Matrix *w, int64_t i);  // out (n) = row i of w
    const char *matmul_program;     // the GPU's, for matmul with such a w; NULL where it has none
    const char *embedding_program;  // for embed
};

#define TENSOR_TYPE(name) extern const Tensor_Type tensor_##name;
#include "tensor_types.def"

// The type of this code; NULL where there is none.
const Tensor_Type *tensor_type(uint32_t code);

// Bytes of as many rows of w.
static inline int64_t row_bytes(const Matrix *w, int64_t rows)
{
    return rows * (w->n / w->type->items) * w->type->bytes;
}

// The matrix of layer l; w is that of layer 0, and the others follow it in memory.
static inline Matrix layer(Matrix w, int64_t l)
{
    w.data = (const char *)w.data + l * row_bytes(&w, w.d);
    return w;
}

#endif
