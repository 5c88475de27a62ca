// Matrix times vectors, where a language model spends its time.
#ifndef MATMUL_H
#define MATMUL_H

#include "tensor_types.h"

// out (positions, d): w (d, n) times each row of x (positions, n), for each of 1 to MOST_PROJECTIONS projections, by the
// kernels of w's type. They are one job of the hardware threads. The scalar kernel adds in llama2.c's order. The VMX
// kernel adds in an order of its own, and needs rows of x aligned to 16 bytes and w as its type says: otherwise the
// scalar kernel runs. No bit depends on the number of positions.
void matmul(const float *x, const Projection *projections, int count, int positions, Kernel kernel);

#endif
