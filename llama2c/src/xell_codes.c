// What instructions of the processor result in, where books leave it open or silicon is said to differ.
#include "memory.h"
#include "vector.h"
#include "xell.h"
#include "xell_selftest.h"

enum { LANES = 4, VECTORS = 1024, BLOCK = 256 };
enum { ONE = 127 << 23, MANTISSA_BITS = 23 };

typedef union {
    uint32_t words[LANES];
    Vector vector;
} Lanes;

// Operands of one sign and about the same size, so that a second rounding shows (Numerical Recipes' generator).
static uint32_t drawn = 1;

static Vector draw(void)
{
    Lanes lanes;
    for (int i = 0; i < LANES; i++) {
        drawn = drawn * 1664525 + 1013904223;
        uint32_t exponent = 124 + (drawn >> 29);
        drawn = drawn * 1664525 + 1013904223;
        lanes.words[i] = exponent << MANTISSA_BITS | drawn >> (32 - MANTISSA_BITS);
    }
    return lanes.vector;
}

void codes_of_rounding(void)
{
    uint32_t sums = 0, differences = 0;
    for (int i = 0; i < VECTORS; i++) {
        Vector a = draw(), b = draw(), c = draw();
        Lanes sum = {.vector = vmaddfp(a, b, c)}, difference = {.vector = vnmsubfp(a, b, c)};
        sums = crc32_of(sums, &sum, sizeof sum);
        differences = crc32_of(differences, &difference, sizeof difference);
    }
    Vector x = vector_of(1.1f);
    Lanes known = {.vector = vmaddfp(x, x, x)};
    page_start("vmaddfp");
    page_hexadecimal(known.words[0], 8);
    page_hexadecimal(sums, 8);
    page_end_line();
    page_start("vnmsubfp");
    page_hexadecimal(differences, 8);
    page_end_line();
}

#define DIVIDED(instruction, dividend, divisor)                                                          \
    ({                                                                                                   \
        uint64_t quotient;                                                                               \
        __asm__ volatile(instruction " %0, %1, %2" : "=r"(quotient) : "r"(dividend), "r"(divisor));      \
        quotient;                                                                                        \
    })

// Four divisions by zero, and two whose quotient is too large. The upper half of a word's quotient is undefined.
void codes_of_division(void)
{
    static volatile uint64_t operands[] = {0x12345678, 0, 0x80000000, 0x8000000000000000, ~0ull};
    uint64_t dividend = operands[0], zero = operands[1], minus_one = operands[4];
    page_start("divide");
    page_hexadecimal(DIVIDED("divw", dividend, zero) & 0xffffffff, 1);
    page_hexadecimal(DIVIDED("divwu", dividend, zero) & 0xffffffff, 1);
    page_hexadecimal(DIVIDED("divd", dividend, zero), 1);
    page_hexadecimal(DIVIDED("divdu", dividend, zero), 1);
    page_hexadecimal(DIVIDED("divw", operands[2], minus_one) & 0xffffffff, 1);
    page_hexadecimal(DIVIDED("divd", operands[3], minus_one), 1);
    page_end_line();
}

// A word of the page: what a probe gave, or the vector of the exception that it took.
static void probe_word(uint64_t value)
{
    if (xell_probe == PROBING) {
        page_decimal(value);
    } else {
        page_word("exception");
        page_hexadecimal((uint64_t)xell_probe, 3);
    }
    xell_probe = 0;
}

// Bytes that an instruction clears in the middle of a block.
static void probe_clearing(void (*clear)(void *))
{
    static _Alignas(128) uint8_t block[BLOCK];
    memset(block, 0xff, BLOCK);
    xell_probe = PROBING;
    clear(block + BLOCK / 2);
    uint64_t cleared = 0;
    for (int i = 0; i < BLOCK; i++) {
        cleared += ((volatile uint8_t *)block)[i] == 0;
    }
    probe_word(cleared);
}

void codes_of_caches(void)
{
    static _Alignas(128) volatile uint32_t reserved;
    page_start("dcbz");
    probe_clearing(probe_dcbz);
    probe_clearing(probe_dcbzl);
    page_end_line();
    page_start("reservation");
    xell_probe = PROBING;
    probe_reservation(&reserved);
    probe_word(reserved);
    page_end_line();
}

typedef Vector Estimate(Vector operand);

#define ESTIMATE(name)                                                       \
    static Vector name(Vector operand)                                       \
    {                                                                        \
        Vector result;                                                       \
        __asm__ volatile(#name " %0, %1" : "=v"(result) : "v"(operand));     \
        return result;                                                       \
    }
ESTIMATE(vrefp)
ESTIMATE(vrsqrtefp)
ESTIMATE(vlogefp)
ESTIMATE(vexptefp)

// The scalar one in each lane. Its operands here have results that are no denormals.
static Vector fres(Vector operand)
{
    union {
        Vector vector;
        float lanes[LANES];
    } in = {operand}, out;
    for (int i = 0; i < LANES; i++) {
        double result, value = (double)in.lanes[i];
        __asm__ volatile("fres %0, %1" : "=d"(result) : "d"(value));
        out.lanes[i] = (float)result;
    }
    return out.vector;
}

// The estimates of operands whose bits go on by step.
static uint32_t crc_of_bits(uint32_t crc, Estimate *estimate, uint32_t first, uint32_t step, int count)
{
    for (int i = 0; i < count; i += LANES) {
        Lanes lanes;
        for (int lane = 0; lane < LANES; lane++, first += step) {
            lanes.words[lane] = first;
        }
        lanes.vector = estimate(lanes.vector);
        crc = crc32_of(crc, &lanes, sizeof lanes);
    }
    return crc;
}

// Every exponent, infinity, NaN, zero and denormals, of both signs.
static uint32_t crc_of_exponents(Estimate *estimate)
{
    static const uint32_t HALF = 1 << (MANTISSA_BITS - 1), SIGN = 1u << 31;
    uint32_t crc = crc_of_bits(0, estimate, HALF, 1 << MANTISSA_BITS, 512);
    crc = crc_of_bits(crc, estimate, 0, SIGN, LANES);
    return crc_of_bits(crc, estimate, 255u << MANTISSA_BITS, SIGN, LANES);
}

static uint32_t crc_of_frsqrte(uint64_t first, uint64_t step, int count)
{
    uint32_t crc = 0;
    for (int i = 0; i < count; i++, first += step) {
        double operand, result;
        memcpy(&operand, &first, sizeof operand);
        __asm__ volatile("frsqrte %0, %1" : "=d"(result) : "d"(operand));
        crc = crc32_of(crc, &result, sizeof result);
    }
    return crc;
}

static void estimate_line(const char *label, uint32_t table, uint32_t exponents)
{
    page_start(label);
    page_hexadecimal(table, 8);
    page_hexadecimal(exponents, 8);
    page_end_line();
}

// Each table over all of its segments and slopes, then each exponent.
void codes_of_estimates(void)
{
    estimate_line("vrefp", crc_of_bits(0, vrefp, ONE, 1 << 9, 1 << 14), crc_of_exponents(vrefp));
    estimate_line("vrsqrtefp", crc_of_bits(0, vrsqrtefp, ONE, 1 << 9, 1 << 15), crc_of_exponents(vrsqrtefp));
    estimate_line("vlogefp", crc_of_bits(0, vlogefp, ONE, 1 << 12, 1 << 12), crc_of_exponents(vlogefp));
    // From 2^-11 to 2^4, and the same below zero.
    uint32_t crc = crc_of_bits(0, vexptefp, ONE - (11 << 23), 1 << 12, 15 << 11);
    crc = crc_of_bits(crc, vexptefp, 1u << 31 | (ONE - (11 << 23)), 1 << 12, 15 << 11);
    estimate_line("vexptefp", crc, crc_of_exponents(vexptefp));
    estimate_line("fres", crc_of_bits(0, fres, ONE, 1 << 13, 1 << 10),
                  crc_of_bits(0, fres, 1 << MANTISSA_BITS, 1 << MANTISSA_BITS, 252));
    estimate_line("frsqrte", crc_of_frsqrte(0x3fe0000000000000, 1ull << 42, 1 << 11),
                  crc_of_frsqrte(0x0018000000000000, 1ull << 52, 2046));
}
