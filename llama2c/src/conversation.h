// A conversation: requests come on the standard input, records go to the standard output (records.h), and the keys and
// values of the tokens that are there stay in between. docs/guest.md describes the protocol.
#ifndef CONVERSATION_H
#define CONVERSATION_H

#include "inference.h"
#include "tokenizer.h"

typedef struct {
    unsigned char *request;  // (MOST_REQUEST_BYTES)
    int *tokens;             // (seq_len) of the conversation
    uint32_t *starts;        // (seq_len) the byte of the answer where a generated token begins
    Tokenizer *tokenizer;
    int room;                // seq_len
    int count;               // of tokens; Inference.pos of them have gone through the layers
} Conversation;

// Takes memory: 1, or 0 after a message.
int conversation_start(Conversation *conversation, Tokenizer *tokenizer, int seq_len);
// Serves requests until the input ends: 1, or 0 after a message where a frame is broken or the GPU does not answer.
int conversation_serve(Conversation *conversation, Inference *inference);

// What requests are served with.
// Answers that a request was not served, and why.
void conversation_refuse(const char *why);
// Keeps so many tokens, from the first on.
void conversation_keep(Conversation *conversation, Inference *inference, int count);
// Lets the tokens that wait go through the layers, the last one in any case. The logits after it in *logits, or NULL
// where input came before and the reading may be interrupted. 0 when the GPU does not answer.
int conversation_read(Conversation *conversation, Inference *inference, int interruptible, float **logits);

#endif
