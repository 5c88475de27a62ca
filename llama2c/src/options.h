// The program's command line.
#ifndef OPTIONS_H
#define OPTIONS_H

#include "inference.h"
#include "sampler.h"
#include "stops.h"

typedef struct {
    const char *checkpoint;
    const char *tokenizer;
    const char *prompt;
    uint64_t prompt_bytes;
    const char *prompt_file;  // instead of them
    Sampling how;
    uint64_t seed;
    uint64_t steps;  // 0: as many as the context holds
    uint64_t context;  // 0: the model's own
    uint64_t record;   // the descriptor that takes the figures; 0: none does
    Kernel kernel;
    int half_cache;
    int int8_activations;
    int write_logits;
    int ignore_end;
    int gpu;
    int special;
    int write_tokens;
    int write_tensors;
    const char *evaluated;  // a file of tokens to run instead of a story
    int converse;
    Stops stops;
} Options;

// What the arguments say, over what `options` holds already. 1, or 0 after a message and the usage.
int options_parse(Options *options, int count, char **arguments);

#endif
