// The frames of a conversation: a kind and a length, two big-endian words, and as many bytes. docs/guest.md has them.
#ifndef RECORDS_H
#define RECORDS_H

#include <stdint.h>

enum { CONVERSATION_VERSION = 1, FRAME_BYTES = 8 };

typedef enum {
    REQUEST_NOTHING = 1,   // answered as a request to go back is
    REQUEST_ENCODE = 2,    // flags, text: its tokens, which are not added
    REQUEST_ADD = 3,       // tokens behind those that are there
    REQUEST_GO_BACK = 4,   // to so many tokens
    REQUEST_LOGITS = 5,    // after the last token
    REQUEST_GENERATE = 6,  // options, see Generation in answer.c
} Request_Kind;

typedef enum {
    RECORD_READY = 1,     // version, context, vocabulary, longest request
    RECORD_TOKENS = 2,    // of a text
    RECORD_POSITION = 3,  // tokens that are there
    RECORD_LOGITS = 4,    // float32, (vocabulary)
    RECORD_TEXT = 5,      // as it is generated
    RECORD_END = 6,       // of generating, see write_end in answer.c
    RECORD_REFUSED = 7,   // a request; why
} Record_Kind;

uint32_t word_at(const unsigned char *bytes);
// Writes a value's bytes (size), the first one highest.
void put_big_endian(unsigned char *bytes, uint64_t value, int size);
// Writes a record to the standard output.
void record_write(Record_Kind kind, const void *bytes, uint64_t length);
// Writes a record of words (n_words), and items (n) of four bytes each behind them.
void record_write_words(Record_Kind kind, const uint32_t *words, int n_words, const void *items, int64_t n);

#endif
