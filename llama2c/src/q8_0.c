// The tensor type q8_0 of ggml: d q, q of 8 bits with sign.
#include "blocks.h"

static const Form FORM = {.scales = 0, .values = 1};
BLOCK_KERNELS(q8_0, FORM)
BLOCK_TYPE(q8_0, 8, ITEMS, {2, 0, 2}, {0, 1, 1});
