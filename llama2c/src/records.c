// Writes records, in as few writes as a small buffer allows.
#include "records.h"

#include "memory.h"
#include "platform.h"

enum { BUFFER_BYTES = 1024 };

uint32_t word_at(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

void put_big_endian(unsigned char *bytes, uint64_t value, int size)
{
    for (int i = 0; i < size; i++) {
        bytes[i] = (unsigned char)(value >> 8 * (size - 1 - i));
    }
}

static void put_frame(unsigned char *bytes, Record_Kind kind, uint64_t length)
{
    put_big_endian(bytes, kind, 4);
    put_big_endian(bytes + 4, length, 4);
}

void record_write(Record_Kind kind, const void *bytes, uint64_t length)
{
    unsigned char buffer[BUFFER_BYTES];
    put_frame(buffer, kind, length);
    if (length <= sizeof buffer - FRAME_BYTES) {
        memcpy(buffer + FRAME_BYTES, bytes, length);
        platform_write(STANDARD_OUTPUT, buffer, FRAME_BYTES + length);
    } else {
        platform_write(STANDARD_OUTPUT, buffer, FRAME_BYTES);
        platform_write(STANDARD_OUTPUT, bytes, length);
    }
}

void record_write_words(Record_Kind kind, const uint32_t *words, int n_words, const void *items, int64_t n)
{
    unsigned char buffer[BUFFER_BYTES];
    uint64_t used = FRAME_BYTES;
    put_frame(buffer, kind, 4 * ((uint64_t)n_words + (uint64_t)n));
    for (int64_t i = 0; i < n_words + n; i++) {
        uint32_t word;
        memcpy(&word, i < n_words ? (const char *)(words + i) : (const char *)items + 4 * (i - n_words), sizeof word);
        if (used == sizeof buffer) {
            platform_write(STANDARD_OUTPUT, buffer, used);
            used = 0;
        }
        put_big_endian(buffer + used, word, 4);
        used += 4;
    }
    platform_write(STANDARD_OUTPUT, buffer, used);
}
