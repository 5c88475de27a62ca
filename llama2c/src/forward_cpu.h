// The forward pass on the CPU: each operation computes when it is called.
#ifndef FORWARD_CPU_H
#define FORWARD_CPU_H

#include "transformer.h"

// The logits (vocab_size) of the token that follows token at position pos; earlier positions must have gone before.
float *forward_cpu(Transformer *transformer, int token, int pos);

#endif
