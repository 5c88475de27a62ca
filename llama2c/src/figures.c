// What a run measured: a record for programs, a line for people.
#include "figures.h"

#include "platform.h"
#include "text.h"

static void put_bytes(unsigned char *bytes, uint64_t value, int size)
{
    for (int i = 0; i < size; i++) {
        bytes[i] = (unsigned char)(value >> 8 * (size - 1 - i));
    }
}

void figures_write(const Figures *figures, int descriptor)
{
    unsigned char record[FIGURES_BYTES];
    put_bytes(record, FIGURES_MAGIC, 4);
    put_bytes(record + 4, FIGURES_VERSION, 4);
    put_bytes(record + 8, figures->tokens, 8);
    put_bytes(record + 16, figures->prompt_tokens, 8);
    put_bytes(record + 24, figures->nanoseconds, 8);
    platform_write(descriptor, record, sizeof record);
}

void figures_print(const Figures *figures)
{
    double seconds = (double)(int64_t)figures->nanoseconds / 1e9;
    print(STANDARD_ERROR, "achieved tok/s: %f (%d tokens, %d of them the prompt's, in %f s)\n",
          seconds > 0 ? (double)(int64_t)figures->tokens / seconds : 0.0, (int64_t)figures->tokens,
          (int64_t)figures->prompt_tokens, seconds);
}
