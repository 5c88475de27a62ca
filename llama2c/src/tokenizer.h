// Text to tokens and back, by llama2.c's tokenizer file or by the converted file of byte-level BPE.
#ifndef TOKENIZER_H
#define TOKENIZER_H

#include "byte_pairs.h"
#include "pieces.h"

typedef enum { TOKENIZER_PIECES, TOKENIZER_BYTE_PAIRS } Tokenizer_Kind;

typedef struct {
    Tokenizer_Kind kind;
    Pieces pieces;          // of TOKENIZER_PIECES
    Byte_Pairs byte_pairs;  // of TOKENIZER_BYTE_PAIRS
    uint32_t vocab_size;
    int *tokens;            // room for the tokens of a text, and for the merging
    uint64_t room;          // tokens
    Merge_Scratch scratch;
} Tokenizer;

// Reads the file: 1, or 0 after a message on standard error. It may have more tokens than vocab_size, not fewer;
// vocab_size 0 stands for as many as it has.
int tokenizer_load(Tokenizer *tokenizer, const char *path, uint32_t vocab_size);
// Makes room for texts of up to so many bytes: 1, or 0 after a message. Once, before the first text.
int tokenizer_make_room(Tokenizer *tokenizer, uint64_t bytes);
// Does what the first text would take memory for: 1, or 0 after a message.
int tokenizer_prepare(Tokenizer *tokenizer);
// The tokens of a text into tokenizer->tokens: their number, or -1 after a message. `special` says whether control
// tokens that the text contains count as such, and not as the characters they are written with.
int64_t tokenizer_encode(Tokenizer *tokenizer, const char *text, uint64_t length, int special);
// What token adds to the text after previous. The piece lives until the next call.
Piece tokenizer_decode(const Tokenizer *tokenizer, int previous, int token);
// The token that begins a text which has none of its own.
int tokenizer_begin(const Tokenizer *tokenizer);
// Whether the tokens of every text begin with that one.
int tokenizer_adds_begin(const Tokenizer *tokenizer);
// Whether a text ends where the model says this token.
int tokenizer_ends(const Tokenizer *tokenizer, int token);

#endif
