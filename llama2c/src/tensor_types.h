// Tensor types: how the items of a matrix lie in memory, and what computes with them. A type is a file with its kernels
// and its row (fp32.c), a line in tensor_types.def and a line in build.py. Its kernels for one position are enough:
// prompts are read with kernels of their own (`batch`) where a type has some, which load a weight once for all positions.
#ifndef TENSOR_TYPES_H
#define TENSOR_TYPES_H

#include <stdint.h>

#include "parallel.h"

typedef enum { KERNEL_SCALAR, KERNEL_VMX, KERNELS } Kernel;

typedef struct Tensor_Type Tensor_Type;

enum { MOST_PLANES = 3 };

// A part of every block of a matrix that lies apart from the other parts: scales, for example.
typedef struct {
    int block_bytes;  // of a block
    int item_bytes;   // of an item, besides
    int number_bytes; // of each number in it, which has a byte order
} Plane;

// A matrix (d, n), row-major; each row is whole blocks. Its planes lie behind one another, each (d, bytes of a row).
typedef struct {
    const Tensor_Type *type;
    const void *data;  // the first plane
    int d;             // rows
    int n;             // items in a row
    int block;         // items in a block: the type's, or the model's group
    int row_fill;      // rows of a plane are filled up to a multiple of this plus 1 bytes, a power of two,
    int plane_fill;    // and planes to a multiple of this plus 1
} Matrix;

// out (positions, d): w (d, n) times each row of x (positions, n)
typedef struct {
    float *out;
    const float *x;
    Matrix w;
    int positions;
} Product;

// One of the matrices that the same x is multiplied by, and where the product goes
typedef struct {
    float *out;
    Matrix w;
} Projection;

enum { MOST_PROJECTIONS = 3 };

struct Tensor_Type {
    const char *name;
    uint32_t code;              // the type's number in ggml (ggml.h, ggml_type); from 256 on for what ggml lacks
    int items;                  // in a block; 0: the model says how many
    Plane planes[MOST_PLANES];  // those that are there; zeros behind them
    Share *rows[KERNELS];       // of a Product of one position: out[start to end) = those rows of w times x
    // The same of a Product of any number of positions, with the bits of `rows` for each of them. NULL: `rows` serves,
    // for one position after the other.
    Share *batch[KERNELS];
    int vmx_items;              // a power of two: the VMX kernel needs n and block to be multiples of it
    int vmx_most_items;         // of a row, that the VMX kernel has room for; 0: any number
    int vmx_alignment;          // in bytes, a power of two: the VMX kernel needs w to be aligned to it
    void (*row)(float *out, const Matrix *w, int64_t i);  // out (n) = row i of w
    const char *matmul_program;     // the GPU's, for matmul with such a w; NULL where it has none
    const char *embedding_program;  // for embed
};

#define TENSOR_TYPE(name) extern const Tensor_Type tensor_##name;
#include "tensor_types.def"

// The type of this code; NULL where there is none.
const Tensor_Type *tensor_type(uint32_t code);

// Bytes from a row of plane k to the next; 0 for a plane that is not there.
static inline int64_t row_bytes(const Matrix *w, int k)
{
    const Plane *plane = &w->type->planes[k];
    int64_t bytes = (int64_t)(w->n / w->block) * plane->block_bytes + (int64_t)w->n * plane->item_bytes;
    return (bytes + w->row_fill) & ~(int64_t)w->row_fill;
}

static inline int64_t plane_bytes(const Matrix *w, int k)
{
    return (w->d * row_bytes(w, k) + w->plane_fill) & ~(int64_t)w->plane_fill;
}

// Row i of plane k.
static inline const void *plane_row(const Matrix *w, int k, int64_t i)
{
    const char *data = w->data;
    for (int before = 0; before < k; before++) {
        data += plane_bytes(w, before);
    }
    return data + i * row_bytes(w, k);
}

static inline int64_t matrix_bytes(const Matrix *w)
{
    int64_t bytes = 0;
    for (int k = 0; k < MOST_PLANES; k++) {
        bytes += plane_bytes(w, k);
    }
    return bytes;
}

// The matrix of layer l; w is that of layer 0, and the others follow it in memory.
static inline Matrix layer(Matrix w, int64_t l)
{
    w.data = (const char *)w.data + l * matrix_bytes(&w);
    return w;
}

#endif
