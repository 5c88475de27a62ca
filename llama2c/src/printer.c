// Prints the text of tokens. A token of byte-level BPE may hold part of a character; the part waits for the rest.
#include "printer.h"

#include "memory.h"
#include "platform.h"
#include "records.h"
#include "utf8.h"

// What llama2.c prints: a single byte only when it is ASCII text or white space, anything longer as it is.
static int llama2c_prints(Piece piece)
{
    unsigned char byte = piece.length ? (unsigned char)piece.bytes[0] : 0;
    return piece.length > 1 || (byte >= 0x20 && byte < 0x7f) || (byte >= '\t' && byte <= '\r');
}

static void put_out(const Printer *printer, const char *bytes, uint32_t length)
{
    if (!length) {
        return;
    }
    if (printer->as_records) {
        record_write(RECORD_TEXT, bytes, length);
    } else {
        platform_write(STANDARD_OUTPUT, bytes, length);
    }
}

static void put_text(const Printer *printer, const char *bytes, uint32_t length)
{
    if (!printer->stops) {
        put_out(printer, bytes, length);
        return;
    }
    char free[2 * MOST_STOP_BYTES];  // of stop strings
    uint32_t count = 0;
    for (uint32_t i = 0; i < length; i++) {
        count += stops_take(printer->stops, bytes[i], free + count);
        if (count > MOST_STOP_BYTES) {
            put_out(printer, free, count);
            count = 0;
        }
    }
    put_out(printer, free, count);
}

static void put_held(Printer *printer)
{
    put_text(printer, printer->held, printer->count);
    printer->count = 0;
}

static void print_whole_characters(Printer *printer, Piece piece)
{
    uint32_t used = 0;
    // At most three bytes are unfinished, so that the held ones and the next byte have room.
    while (printer->count && used < piece.length) {
        printer->held[printer->count++] = piece.bytes[used++];
        uint32_t unfinished = utf8_unfinished(printer->held, printer->count);
        uint32_t done = printer->count - unfinished;  // less than all: a byte begins a character within another
        if (done) {
            put_text(printer, printer->held, done);
            memmove(printer->held, printer->held + done, unfinished);
            printer->count = unfinished;
        }
    }
    uint32_t rest = printer->count ? 0 : utf8_unfinished(piece.bytes + used, piece.length - used);
    if (piece.length - used > rest) {
        put_text(printer, piece.bytes + used, piece.length - used - rest);
    }
    for (uint32_t i = piece.length - rest; rest && i < piece.length; i++) {
        printer->held[printer->count++] = piece.bytes[i];
    }
}

void printer_print(Printer *printer, const Tokenizer *tokenizer, int previous, int token)
{
    Piece piece = tokenizer_decode(tokenizer, previous, token);
    int byte_pairs = tokenizer->kind == TOKENIZER_BYTE_PAIRS;
    if (byte_pairs ? byte_pairs_is_control(&tokenizer->byte_pairs, token) : !llama2c_prints(piece)) {
        return;
    }
    printer->printed += piece.length;
    if (byte_pairs) {
        print_whole_characters(printer, piece);
    } else {
        put_text(printer, piece.bytes, piece.length);
    }
}

void printer_end(Printer *printer)
{
    put_held(printer);
    if (printer->stops && !printer->stops->stopped) {
        put_out(printer, printer->stops->pending, printer->stops->pending_count);
        printer->stops->pending_count = 0;
    }
}
