// The tensor type q4_0 of ggml: d (q - 8), q of 4 bits.
#include "blocks.h"

static const Form FORM = {.scales = 0, .values = 1, .nibbles = 1, .offset = 8};
BLOCK_KERNELS(q4_0, FORM)
BLOCK_TYPE(q4_0, 2, ITEMS, {2, 0, 2}, {16, 0, 1});
