// Reads the header of a checkpoint: llama2.c's versions 0, 1 and 2 and the console's own, 256, with the extension that
// has what llama2.c takes for granted. docs/formats.md has the tables.
#ifndef HEADER_H
#define HEADER_H

#include "transformer.h"

enum { HEADER_BYTES = 256, V0_HEADER_BYTES = 28, CONSOLE_VERSION = 256 };
enum { EMBEDDING, WQ, WK, WV, WO, W1, W2, W3, WCLS, MATRIX_CLASSES };

typedef struct {
    int version;
    int shared;      // whether the classifier is the embedding table
    int group_size;  // items that share a scale in version 2
    const Tensor_Type *types[MATRIX_CLASSES];
} Header;

// Fills header and config from the file's first HEADER_BYTES, zeros behind a shorter file: 1, or 0 after a message on
// standard error that names the file, the place, and what stands there.
int header_read(Header *header, Config *config, const uint32_t *words, const char *path);

#endif
