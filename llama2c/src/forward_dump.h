// The forward pass on the CPU, with every tensor on the way written out: for a port that computes something else.
#ifndef FORWARD_DUMP_H
#define FORWARD_DUMP_H

#include "operations.h"

enum { TENSOR_NAME_BYTES = 16, TENSOR_RECORD_BYTES = 32, NO_LAYER = -1 };

// The layers and the logits for a token at position pos. Every tensor is written to the standard output when it is
// computed, as a record of this machine's byte order:
//   Offset  Bytes  Field
//        0     16  name, zeros behind it
//       16      4  layer, NO_LAYER outside of the layers
//       20      4  position
//       24      8  n
//       32    4 n  its items, floats
void forward_dump(const Transformer *transformer, int token, int pos);

#endif
