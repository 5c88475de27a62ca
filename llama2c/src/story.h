// Telling: a prompt is read, and what the sampler picks follows it.
#ifndef STORY_H
#define STORY_H

#include "figures.h"
#include "inference.h"
#include "options.h"
#include "printer.h"
#include "tokenizer.h"

typedef struct {
    Inference inference;
    const Tokenizer *tokenizer;
    Options *options;
    Printer printer;
    Figures figures;
} Story;

// The prompt, then the story that follows it, on standard output. 1, or 0 when the GPU does not answer.
int story_tell(Story *story, const int *prompt, int prompt_tokens);

#endif
