// A story on the standard output, token by token.
#ifndef PRINTER_H
#define PRINTER_H

#include "tokenizer.h"

// Bytes that begin a character and wait for the token that finishes it.
typedef struct {
    char held[4];
    uint32_t count;
} Printer;

// Prints what token adds to the text after previous, up to the last whole character.
void printer_print(Printer *printer, const Tokenizer *tokenizer, int previous, int token);
// Prints what still waits, at the end of the text.
void printer_end(Printer *printer);

#endif
