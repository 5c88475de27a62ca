// llama2.c's tokenizer file: pieces with scores, after SentencePiece, with byte fallback.
#ifndef PIECES_H
#define PIECES_H

#include "merge.h"
#include "transformer.h"

enum { TOKEN_BOS = 1, TOKEN_FIRST_BYTE = 3 };  // bytes 0 to 255 are the tokens 3 to 258

// What a token stands for.
typedef struct {
    const char *bytes;
    uint32_t length;
    float score;
} Piece;

typedef struct {
    Piece *pieces;     // (count)
    uint32_t *sorted;  // (count) token numbers in the order of their pieces; NULL until the first text
    uint32_t count;
    char *pair;        // room for the two longest pieces
    int begin;         // the token that begins a text, -1 for none; TOKEN_BOS unless the model has another
    int ends[MOST_END_TOKENS];  // tokens that end a text, -1 for fewer; TOKEN_BOS unless the model has others
    int space;         // whether a space stands before a text
} Pieces;

// Reads the first count pieces of a file that has been read, 0: all of them. 1, or 0 after a message.
int pieces_read(Pieces *pieces, uint32_t count, const char *file, uint64_t size, const char *path);
// The token that begins a text, and behind it a text (length) of which the first byte has a space before it: the number of tokens, or -1 after a
// message. tokens and the scratch have room for length + 2; pair has room for two pieces.
int64_t pieces_encode(Pieces *pieces, const char *text, uint64_t length, int *tokens, const Merge_Scratch *scratch);
// What token adds to the text after previous; a byte token is one byte. The piece lives until the next call.
Piece pieces_decode(const Pieces *pieces, int previous, int token);
// Sorts the pieces, which the first text does otherwise: 1, or 0 after a message.
int pieces_sort(Pieces *pieces);
uint32_t pieces_longest(const Pieces *pieces);

#endif
