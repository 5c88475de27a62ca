// Matrix times vectors, where a language model spends its time.
#ifndef MATMUL_H
#define MATMUL_H

#include "tensor_types.h"

// out (positions, d): w (d, n) times each row of x (positions, n), by the kernels of w's type. The scalar kernel adds in
// llama2.c's order. The VMX kernel adds in an order of its own, and needs rows of x aligned to 16 bytes and w as its
// type says: otherwise the scalar kernel runs. No bit depends on the number of positions.
void matmul(float *out, const float *x, const Matrix *w, int positions, Kernel kernel);

#endif
