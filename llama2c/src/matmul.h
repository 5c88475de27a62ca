// Matrix times vector, where a language model spends its time.
#ifndef MATMUL_H
#define MATMUL_H

#include "tensor_types.h"

// out (d) = w (d, n) x (n), by the kernels of w's type. The scalar kernel adds in llama2.c's order. The VMX kernel adds
// in an order of its own, and needs x aligned to 16 bytes and w as its type says: otherwise the scalar kernel runs.
void matmul(float *out, const float *x, const Matrix *w, Kernel kernel);

#endif
