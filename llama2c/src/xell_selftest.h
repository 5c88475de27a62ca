// The self-test: a page of codes that says what the processor and the memory of a console do. docs/real-console.md
// describes its lines.
#ifndef XELL_SELFTEST_H
#define XELL_SELFTEST_H

#include <stdint.h>

// A line of the page: words, then the low 16 bits of the CRC-32 of the line before them.
void page_start(const char *label);
void page_word(const char *word);
void page_decimal(uint64_t value);
void page_hexadecimal(uint64_t value, int digits_at_least);
void page_end_line(void);
// The last line: how many lines there are before it, and the CRC-32 of all of them.
void page_end(void);

// The CRC-32 of zlib, as it goes on from crc; 0 at first.
uint32_t crc32_of(uint32_t crc, const void *bytes, uint64_t size);

// What the processor's instructions result in.
void codes_of_rounding(void);
void codes_of_division(void);
void codes_of_caches(void);
void codes_of_estimates(void);

// How fast it is. The page's time base is measured first; all others count in it.
void speed_of_time_base(void);
void speed_of_chains(void);
void speed_of_memory(void);

// Runs all of it.
void selftest(void);

#endif
