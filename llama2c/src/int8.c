// The tensor type of llama2.c's version 2: d q, q of 8 bits with sign, d a float for each group of the model's size.
#include "blocks.h"

static const Form FORM = {.values = 0, .scales = 1, .floats = 1};
BLOCK_KERNELS(int8, FORM)
BLOCK_TYPE(int8, 256, 0, {0, 1, 1}, {4, 0, 4});
