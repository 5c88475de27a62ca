// Formatted messages and number parsing without a C library.
#include "text.h"

#include <stdarg.h>

#include "platform.h"

enum { MOST_DIGITS = 22 };  // of a number of 64 bits, with its sign and the end of the line

typedef struct {
    char bytes[512];
    uint64_t used;
} Line;

static void put(Line *line, char c)
{
    if (line->used < sizeof line->bytes) {
        line->bytes[line->used++] = c;
    }
}

static void put_unsigned(Line *line, uint64_t value, int digits_at_least)
{
    char digits[20];
    int n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value || n < digits_at_least);
    while (n) {
        put(line, digits[--n]);
    }
}

static void put_signed(Line *line, int64_t value)
{
    if (value < 0) {
        put(line, '-');
    }
    put_unsigned(line, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 1);
}

static void put_decimal(Line *line, double value)
{
    if (!(value >= 0 && value < 1e15)) {
        put(line, '?');
        return;
    }
    uint64_t thousandths = (uint64_t)(int64_t)(value * 1000 + 0.5);
    put_unsigned(line, thousandths / 1000, 1);
    put(line, '.');
    put_unsigned(line, thousandths % 1000, 3);
}

void print(int stream, const char *format, ...)
{
    Line line;
    line.used = 0;
    va_list arguments;
    va_start(arguments, format);
    for (; *format; format++) {
        if (*format != '%') {
            put(&line, *format);
            continue;
        }
        switch (*++format) {
        case 's':
            for (const char *text = va_arg(arguments, const char *); *text; text++) {
                put(&line, *text);
            }
            break;
        case 'd':
            put_signed(&line, va_arg(arguments, int64_t));
            break;
        case 'u':
            put_unsigned(&line, va_arg(arguments, uint64_t), 1);
            break;
        case 'f':
            put_decimal(&line, va_arg(arguments, double));
            break;
        default:
            put(&line, *format);
        }
    }
    va_end(arguments);
    platform_write(stream, line.bytes, line.used);
}

void print_numbers(int stream, const int *numbers, int64_t n)
{
    Line line;
    line.used = 0;
    for (int64_t i = 0; i < n; i++) {
        put_signed(&line, numbers[i]);
        put(&line, '\n');
        if (i + 1 == n || line.used + MOST_DIGITS > sizeof line.bytes) {
            platform_write(stream, line.bytes, line.used);
            line.used = 0;
        }
    }
}

int refuse(const char *path, uint64_t offset, const char *what)
{
    print(STANDARD_ERROR, "error: %s: byte %u: %s\n", path, offset, what);
    return 0;
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

int parse_unsigned(const char *text, uint64_t *value)
{
    uint64_t result = 0;
    if (!*text) {
        return 0;
    }
    for (; *text; text++) {
        uint64_t digit = (uint64_t)(*text - '0');
        if (!is_digit(*text) || result > (UINT64_MAX - digit) / 10) {
            return 0;
        }
        result = result * 10 + digit;
    }
    *value = result;
    return 1;
}

static int parse_exponent(const char *text, int *exponent)
{
    int negative = *text == '-';
    uint64_t magnitude;
    text += *text == '-' || *text == '+';
    if (!parse_unsigned(text, &magnitude) || magnitude > 400) {
        return 0;
    }
    *exponent += negative ? -(int)magnitude : (int)magnitude;
    return 1;
}

int parse_decimal(const char *text, double *value)
{
    uint64_t mantissa = 0;
    int exponent = 0, digits = 0, negative = *text == '-', point = 0;
    text += *text == '-' || *text == '+';
    for (; is_digit(*text) || (*text == '.' && !point); text++) {
        if (*text == '.') {
            point = 1;
            continue;
        }
        digits++;
        if (mantissa < UINT64_MAX / 10 - 9) {
            mantissa = mantissa * 10 + (uint64_t)(*text - '0');
            exponent -= point;
        } else {
            exponent += !point;
        }
    }
    if (!digits || (*text && *text != 'e' && *text != 'E') || (*text && !parse_exponent(text + 1, &exponent))) {
        return 0;
    }
    double result = (double)mantissa, power = 1;
    for (int i = 0; i < (exponent < 0 ? -exponent : exponent); i++) {
        power *= 10;
    }
    result = exponent < 0 ? result / power : result * power;
    *value = negative ? -result : result;
    return 1;
}
