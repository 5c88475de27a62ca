// Serves the requests of a conversation. A request is checked whole before anything of it is done; one that cannot be
// served changes nothing and is answered with the reason.
#include "conversation.h"

#include "allocations.h"
#include "answer.h"
#include "memory.h"
#include "platform.h"
#include "records.h"
#include "text.h"

enum { ENCODE_SPECIAL = 1, ENCODE_GOES_ON = 2, ENCODE_FLAGS = 3 };

int conversation_start(Conversation *c, Tokenizer *tokenizer, int seq_len)
{
    *c = (Conversation){.tokenizer = tokenizer, .room = seq_len};
    if (!tokenizer_make_room(tokenizer, MOST_REQUEST_BYTES) || !tokenizer_prepare(tokenizer)) {
        return 0;
    }
    c->request = allocate(MEMORY_CONVERSATION, (Extents){.conversations = 1, .seq_len = (uint64_t)seq_len});
    if (!c->request) {
        print(STANDARD_ERROR, "error: no memory is free for the conversation\n");
        return 0;
    }
    c->tokens = (int *)(void *)(c->request + LINES(MOST_REQUEST_BYTES));
    c->starts = (uint32_t *)(void *)((char *)c->tokens + ARRAY((uint64_t)seq_len));
    return 1;
}

void conversation_refuse(const char *why)
{
    record_write(RECORD_REFUSED, why, strlen(why));
}

static void write_position(const Conversation *c)
{
    uint32_t count = (uint32_t)c->count;
    record_write_words(RECORD_POSITION, &count, 1, 0, 0);
}

static void encode(Conversation *c, uint32_t size)
{
    uint32_t flags = size < 4 ? UINT32_MAX : word_at(c->request);
    if (flags > ENCODE_FLAGS) {
        conversation_refuse("a text without known flags");
        return;
    }
    Tokenizer *t = c->tokenizer;
    int64_t n = tokenizer_encode(t, (const char *)c->request + 4, size - 4, (flags & ENCODE_SPECIAL) != 0);
    if (n < 0) {
        conversation_refuse("the text cannot be encoded");
        return;
    }
    int begins = flags & ENCODE_GOES_ON && n && tokenizer_adds_begin(t);
    record_write_words(RECORD_TOKENS, 0, 0, t->tokens + begins, n - begins);
}

static void add_tokens(Conversation *c, const Inference *inference, uint32_t size)
{
    uint32_t n = size / 4, vocab_size = (uint32_t)inference->transformer->config.vocab_size;
    if (size % 4 || n > (uint32_t)(c->room - c->count)) {
        conversation_refuse(size % 4 ? "part of a token" : "more tokens than there is room for");
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (word_at(c->request + 4 * i) >= vocab_size) {
            conversation_refuse("a token that the vocabulary does not have");
            return;
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        c->tokens[c->count++] = (int)word_at(c->request + 4 * i);
    }
    write_position(c);
}

void conversation_keep(Conversation *c, Inference *inference, int count)
{
    c->count = count;
    inference->pos = inference->pos < count ? inference->pos : count;
}

static void go_back(Conversation *c, Inference *inference, uint32_t size)
{
    if (size != 4 || word_at(c->request) > (uint32_t)c->count) {
        conversation_refuse("no position of the conversation");
        return;
    }
    conversation_keep(c, inference, (int)word_at(c->request));
    write_position(c);
}

// In batches: the first takes what whole ones leave over.
int conversation_read(Conversation *c, Inference *inference, int interruptible, float **logits)
{
    *logits = 0;
    inference->pos -= inference->pos == c->count;
    int positions = (c->count - inference->pos - 1) % BATCH + 1;
    while (inference->pos < c->count) {
        if (interruptible && platform_input_waiting()) {
            return 1;
        }
        if (!inference_pass(inference, c->tokens + inference->pos, positions)) {
            return 0;
        }
        if (inference->pos < c->count) {
            positions = BATCH;
        }
    }
    *logits = inference_logits(inference, positions - 1);
    return *logits != 0;
}

static int write_logits(Conversation *c, Inference *inference)
{
    float *logits;
    if (!c->count) {
        conversation_refuse("no tokens");
        return 1;
    }
    if (!conversation_read(c, inference, 0, &logits)) {
        return 0;
    }
    record_write_words(RECORD_LOGITS, 0, 0, logits, inference->transformer->config.vocab_size);
    return 1;
}

// 1, or 0 when the GPU does not answer.
static int serve(Conversation *c, Inference *inference, uint32_t kind, uint32_t size)
{
    switch (kind) {
    case REQUEST_NOTHING:
        write_position(c);
        return 1;
    case REQUEST_ENCODE:
        encode(c, size);
        return 1;
    case REQUEST_ADD:
        add_tokens(c, inference, size);
        return 1;
    case REQUEST_GO_BACK:
        go_back(c, inference, size);
        return 1;
    case REQUEST_LOGITS:
        return write_logits(c, inference);
    case REQUEST_GENERATE:
        return answer(c, inference, size);
    default:
        conversation_refuse("an unknown request");
        return 1;
    }
}

int conversation_serve(Conversation *c, Inference *inference)
{
    const uint32_t ready[] = {CONVERSATION_VERSION, (uint32_t)c->room, (uint32_t)inference->transformer->config.vocab_size,
                              MOST_REQUEST_BYTES};
    record_write_words(RECORD_READY, ready, 4, 0, 0);
    unsigned char frame[FRAME_BYTES];
    uint64_t got;
    while ((got = platform_receive(frame, sizeof frame)) == sizeof frame) {
        uint32_t kind = word_at(frame), size = word_at(frame + 4);
        if (size > MOST_REQUEST_BYTES) {
            print(STANDARD_ERROR, "error: standard input: a request of %u bytes, expected at most %u\n", (uint64_t)size,
                  (uint64_t)MOST_REQUEST_BYTES);
            return 0;
        }
        if (platform_receive(c->request, size) != size) {
            break;
        }
        if (!serve(c, inference, kind, size)) {
            return 0;
        }
    }
    if (got) {
        print(STANDARD_ERROR, "error: standard input: it ends within a request\n");
    }
    return !got;
}
