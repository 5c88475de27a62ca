// The tensor type q4_1 of ggml: d q + m, q of 4 bits.
#include "blocks.h"

static const Form FORM = {.scales = 0, .values = 1, .nibbles = 1, .pairs = 1};
BLOCK_KERNELS(q4_1, FORM)
BLOCK_TYPE(q4_1, 3, ITEMS, {4, 0, 2}, {16, 0, 1});
