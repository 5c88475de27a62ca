// Byte-pair encoding with byte fallback, after llama2.c's tokenizer file: text to tokens and back.
#ifndef TOKENIZER_H
#define TOKENIZER_H

#include <stdint.h>

enum { TOKEN_BOS = 1, TOKEN_FIRST_BYTE = 3 };  // bytes 0 to 255 are the tokens 3 to 258

typedef struct {
    const char *bytes;
    uint32_t length;
    float score;
} Piece;

typedef struct {
    Piece *pieces;     // (vocab_size)
    uint32_t *sorted;  // (vocab_size) token numbers in the order of their pieces; NULL until the first encode
    uint32_t vocab_size;
} Tokenizer;

// Reads the first vocab_size pieces of the file: 1, or 0 after a message on standard error.
int tokenizer_load(Tokenizer *tokenizer, const char *path, uint32_t vocab_size);
// BOS and the text's tokens into *tokens, which it allocates: their number, or 0 after a message on standard error.
int tokenizer_encode(Tokenizer *tokenizer, const char *text, int **tokens);
// What token adds to the text after previous; a byte token is one byte. The piece lives until the next call.
Piece tokenizer_decode(const Tokenizer *tokenizer, int previous, int token);

#endif
