// The request to generate.
#ifndef ANSWER_H
#define ANSWER_H

#include "conversation.h"

// Serves the request, of so many bytes: text records as it goes on, and an end, or a refusal. 1, or 0 after a message
// when the GPU does not answer.
int answer(Conversation *conversation, Inference *inference, uint32_t size);

#endif
