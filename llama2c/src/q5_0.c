// The tensor type q5_0 of ggml: d (q - 16), q of 5 bits.
#include "blocks.h"

static const Form FORM = {.scales = 0, .high = 1, .values = 2, .nibbles = 1, .offset = 16};
BLOCK_KERNELS(q5_0, FORM)
BLOCK_TYPE(q5_0, 6, ITEMS, {2, 0, 2}, {4, 0, 4}, {16, 0, 1});
