// UTF-8 by table 3-7 of the Unicode Standard: no overlong forms, no surrogates, nothing above U+10FFFF.
#include "utf8.h"

// The bytes of a character with this lead byte; 0 for none.
static uint32_t length_of(unsigned char lead)
{
    return lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
}

// Whether the byte may follow a lead byte: after some lead bytes, fewer continuation bytes may.
static int may_follow(unsigned char lead, unsigned char byte)
{
    unsigned char least = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    unsigned char most = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    return byte >= least && byte <= most;
}

// The bytes from the first on that are well formed, up to the whole character.
static uint32_t well_formed(const unsigned char *text, uint64_t length, uint32_t wanted)
{
    uint32_t n = 1;
    while (n < wanted && n < length && (n == 1 ? may_follow(text[0], text[1]) : (text[n] & 0xc0) == 0x80)) {
        n++;
    }
    return n;
}

uint32_t utf8_character(const char *text, uint64_t length, uint32_t *code)
{
    const unsigned char *bytes = (const unsigned char *)text;
    uint32_t wanted = length_of(bytes[0]);
    if (wanted == 0 || well_formed(bytes, length, wanted) < wanted) {
        *code = UTF8_MALFORMED;
        return 1;
    }
    *code = wanted == 1 ? bytes[0] : bytes[0] & (0x7fu >> wanted);
    for (uint32_t i = 1; i < wanted; i++) {
        *code = *code << 6 | (bytes[i] & 0x3f);
    }
    return wanted;
}

uint32_t utf8_unfinished(const char *text, uint64_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    for (uint32_t n = 1; n <= 3 && n <= length; n++) {
        const unsigned char *last = bytes + length - n;
        uint32_t wanted = length_of(*last);
        if (wanted > n && well_formed(last, n, wanted) == n) {
            return n;
        }
    }
    return 0;
}
