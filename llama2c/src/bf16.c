// The tensor type bf16: the upper halves of floats.
#include "wide.h"

WIDE_TYPE(bf16, 30, UPPER_HALVES);
