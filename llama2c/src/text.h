// Formatted messages and number parsing without a C library.
#ifndef TEXT_H
#define TEXT_H

#include <stdint.h>

// %s text, %d int64_t, %u uint64_t, %f double with three decimals, %% a percent sign. One write per call, up to 512 bytes.
void print(int stream, const char *format, ...);

// Prints n numbers, a line each, many of them in a write.
void print_numbers(int stream, const int *numbers, int64_t n);
// Prints that a file cannot be used: which, at which byte, why. Returns 0.
int refuse(const char *path, uint64_t offset, const char *what);

// Each returns 0 and leaves *value alone unless the whole text is a number of its kind that fits.
int parse_unsigned(const char *text, uint64_t *value);
// Decimal notation with an optional exponent; exact rounding up to 15 digits and exponents of 22 and below.
int parse_decimal(const char *text, double *value);

#endif
