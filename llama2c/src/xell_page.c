// Lines of the self-test's page, each with a checksum, so that a mistyped one is noticed.
#include "memory.h"
#include "xell.h"
#include "xell_selftest.h"

enum { MOST = 120 };
static const uint32_t POLYNOMIAL = 0xedb88320;

static char line[MOST + 1];
static uint64_t used = 0;
static uint64_t lines = 0;
static uint32_t page_crc = 0;

static uint32_t table[256];

static void make_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++) {
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? POLYNOMIAL : 0);
        }
    }
}

uint32_t crc32_of(uint32_t crc, const void *bytes, uint64_t size)
{
    if (!table[1]) {
        make_table();
    }
    crc = ~crc;
    for (const uint8_t *byte = bytes, *end = byte + size; byte < end; byte++) {
        crc = crc >> 8 ^ table[(crc ^ *byte) & 0xff];
    }
    return ~crc;
}

void page_start(const char *label)
{
    used = 0;
    page_word(label);
}

void page_word(const char *word)
{
    if (used && used < MOST) {
        line[used++] = ' ';
    }
    while (*word && used < MOST) {
        line[used++] = *word++;
    }
}

void page_decimal(uint64_t value)
{
    char digits[21];
    int place = sizeof digits - 1;
    digits[place] = 0;
    do {
        digits[--place] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    page_word(digits + place);
}

void page_hexadecimal(uint64_t value, int digits_at_least)
{
    char digits[17];
    int place = sizeof digits - 1;
    digits[place] = 0;
    do {
        digits[--place] = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value || place > (int)sizeof digits - 1 - digits_at_least);
    page_word(digits + place);
}

void page_end_line(void)
{
    uint32_t crc = crc32_of(0, line, used);
    lines++;
    page_crc = crc32_of(crc32_of(page_crc, line, used), "\n", 1);
    page_hexadecimal(crc & 0xffff, 4);
    line[used++] = '\n';
    show(line, used);
}

void page_end(void)
{
    uint64_t before = lines;
    uint32_t crc = page_crc;
    page_start("end");
    page_decimal(before);
    page_hexadecimal(crc, 8);
    page_end_line();
}
