// The table of tensor types.
#include "tensor_types.h"

static const Tensor_Type *const TYPES[] = {
#define TENSOR_TYPE(name) &tensor_##name,
#include "tensor_types.def"
};

const Tensor_Type *tensor_type(uint32_t code)
{
    for (int i = 0; i < (int)(sizeof TYPES / sizeof TYPES[0]); i++) {
        if (TYPES[i]->code == code) {
            return TYPES[i];
        }
    }
    return 0;
}
