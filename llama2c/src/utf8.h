// UTF-8: one character at a time, from text that may be malformed.
#ifndef UTF8_H
#define UTF8_H

#include <stdint.h>

#define UTF8_MALFORMED UINT32_MAX

// The bytes of the first character of text (length, at least 1), and its code point in *code. A byte that begins no
// well-formed character counts as a character of its own, UTF8_MALFORMED.
uint32_t utf8_character(const char *text, uint64_t length, uint32_t *code);
// The bytes at the end of text (length) that begin a character and do not finish it: 0 to 3.
uint32_t utf8_unfinished(const char *text, uint64_t length);

#endif
