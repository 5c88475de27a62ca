// Prints the text of tokens. A token of byte-level BPE may hold part of a character; the part waits for the rest.
#include "printer.h"

#include "platform.h"
#include "utf8.h"

// What llama2.c prints: a single byte only when it is ASCII text or white space, anything longer as it is.
static int llama2c_prints(Piece piece)
{
    unsigned char byte = piece.length ? (unsigned char)piece.bytes[0] : 0;
    return piece.length > 1 || (byte >= 0x20 && byte < 0x7f) || (byte >= '\t' && byte <= '\r');
}

static void print_whole_characters(Printer *printer, Piece piece)
{
    uint32_t used = 0;
    // At most three bytes are unfinished, so that the held ones and the next byte have room.
    while (printer->count && used < piece.length) {
        printer->held[printer->count++] = piece.bytes[used++];
        if (!utf8_unfinished(printer->held, printer->count)) {
            printer_end(printer);
        }
    }
    uint32_t rest = printer->count ? 0 : utf8_unfinished(piece.bytes + used, piece.length - used);
    if (piece.length - used > rest) {
        platform_write(STANDARD_OUTPUT, piece.bytes + used, piece.length - used - rest);
    }
    for (uint32_t i = piece.length - rest; rest && i < piece.length; i++) {
        printer->held[printer->count++] = piece.bytes[i];
    }
}

void printer_print(Printer *printer, const Tokenizer *tokenizer, int previous, int token)
{
    Piece piece = tokenizer_decode(tokenizer, previous, token);
    if (tokenizer->kind == TOKENIZER_BYTE_PAIRS) {
        if (!byte_pairs_is_control(&tokenizer->byte_pairs, token)) {
            print_whole_characters(printer, piece);
        }
    } else if (llama2c_prints(piece)) {
        platform_write(STANDARD_OUTPUT, piece.bytes, piece.length);
    }
}

void printer_end(Printer *printer)
{
    if (printer->count) {
        platform_write(STANDARD_OUTPUT, printer->held, printer->count);
        printer->count = 0;
    }
}
