// Reads checkpoints, llama2.c's and the console's, in the machine's own byte order.
#ifndef CHECKPOINT_H
#define CHECKPOINT_H

#include "transformer.h"

// Fills config and weights from the file: 1, or 0 after a message on standard error that names the file and the place.
int checkpoint_load(Transformer *transformer, const char *path);

#endif
