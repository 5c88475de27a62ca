// The tensor type f16: half precision.
#include "wide.h"

WIDE_TYPE(f16, 1, HALVES);
