// The tensor type q5_1 of ggml: d q + m, q of 5 bits.
#include "blocks.h"

static const Form FORM = {.scales = 0, .high = 1, .values = 2, .nibbles = 1, .pairs = 1};
BLOCK_KERNELS(q5_1, FORM)
BLOCK_TYPE(q5_1, 7, ITEMS, {4, 0, 2}, {4, 0, 4}, {16, 0, 1});
