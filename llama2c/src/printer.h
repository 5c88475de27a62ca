// Text on the standard output, token by token, plain or as records of a conversation.
#ifndef PRINTER_H
#define PRINTER_H

#include "stops.h"
#include "tokenizer.h"

typedef struct {
    char held[4];     // bytes that begin a character and wait for the token that finishes it
    uint32_t count;   // of them
    Stops *stops;     // NULL: none
    int as_records;   // each stretch of text is a record
    uint64_t printed; // bytes that tokens have added, with those that wait
} Printer;

// Prints what token adds to the text after previous, up to the last whole character.
void printer_print(Printer *printer, const Tokenizer *tokenizer, int previous, int token);
// Prints what still waits, at the end of the text.
void printer_end(Printer *printer);

#endif
