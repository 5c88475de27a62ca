// Matrix times vectors in the arithmetic of llama2.c's runq.c: both are int8 in groups with a scale each. Products of a
// group are added up exactly, then scaled as floats, group after group.
#ifndef INT8_PRODUCTS_H
#define INT8_PRODUCTS_H

#include "tensor_types.h"

// Room for activations as integers.
typedef struct {
    float *q;       // (positions, n) as floats for the vector unit, as int8 in a part of it otherwise
    float *scales;  // (groups of a row, BATCH)
} Int8_Room;

// Whether w can be multiplied so: its type is int8.
int int8_products_take(const Matrix *w);
// out (positions, d): w (d, n) times each row of x (positions, n), which becomes int8 in room, in groups as large as
// w's. Both kernels have the same bits, as long as no scale and no product with one is denormal, and no bit depends on
// the number of positions.
void matmul_int8(float *out, const float *x, const Matrix *w, int positions, Kernel kernel, Int8_Room room);

#endif
