// Runs given tokens instead of a story: how likely the model holds each, its logits, or every tensor on the way there.
#ifndef EVALUATE_H
#define EVALUATE_H

#include "inference.h"

// A file of windows, one after the other, each of words that are big-endian on every machine:
//   n (1 to seq_len), first (1 to n), and n tokens, which are at the positions from 0 on.
typedef struct {
    const char *path;
    Inference *inference;
} Evaluation;

enum { SCORE_BYTES = 16 };

// Writes a record for every token from number `first` of its window on, to the standard output, big-endian:
//   Offset  Bytes  Field
//        0      4  the token
//        4      4  the token that was likeliest there
//        8      8  the natural logarithm of the token's probability, a double
// 1, or 0 after a message.
int evaluate_tokens(const Evaluation *evaluation);
// Writes the logits (vocab_size) after each token from number first - 1 on, as floats of this machine.
int evaluate_logits(const Evaluation *evaluation);
// Writes what each operation computes for each position, see forward_dump.h; on the CPU alone.
int evaluate_tensors(const Evaluation *evaluation);

#endif
