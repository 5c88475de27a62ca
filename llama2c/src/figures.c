// What a run measured: a record for programs, a line for people.
#include "figures.h"

#include "platform.h"
#include "records.h"
#include "text.h"

void figures_write(const Figures *figures, int descriptor)
{
    unsigned char record[FIGURES_BYTES];
    put_big_endian(record, FIGURES_MAGIC, 4);
    put_big_endian(record + 4, FIGURES_VERSION, 4);
    put_big_endian(record + 8, figures->prompt_tokens, 8);
    put_big_endian(record + 16, figures->prompt_nanoseconds, 8);
    put_big_endian(record + 24, figures->first_tokens, 8);
    put_big_endian(record + 32, figures->first_nanoseconds, 8);
    put_big_endian(record + 40, figures->tokens, 8);
    put_big_endian(record + 48, figures->nanoseconds, 8);
    platform_write(descriptor, record, sizeof record);
}

static void print_speed(const char *what, uint64_t tokens, uint64_t nanoseconds)
{
    double seconds = (double)(int64_t)nanoseconds / 1e9;
    print(STANDARD_ERROR, "%s tok/s: %f (%d tokens in %f s)\n", what,
          seconds > 0 ? (double)(int64_t)tokens / seconds : 0.0, (int64_t)tokens, seconds);
}

void figures_print(const Figures *figures)
{
    if (figures->prompt_tokens > 1) {
        print_speed("prompt", figures->prompt_tokens, figures->prompt_nanoseconds);
    }
    if (figures->tokens) {
        print_speed("achieved", figures->tokens, figures->nanoseconds);
    }
}
