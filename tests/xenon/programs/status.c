/* FR, FI and FPRF as a caller sees them: each case ends with floating-point arithmetic in a function of its own, and
   the caller looks at FPSCR. Prints what it saw in the first round, then in how many rounds it saw something else.
   The argument is the number of rounds. */
#include "raw.h"

enum { CASES = 16, LENGTH = 37 };
volatile double one = 1, two = 2, three = 3, minus_one = -1, none, large = 9007199254740993.0, half = 2.5, sink;
volatile float tiny = 1e-30f, small = 1e-15f, third = 0.333333333f, sum;
volatile word integer = (1UL << 53) + 1;
static float from[LENGTH], to[LENGTH];
static double doubles[LENGTH];

__attribute__((noinline)) void up(void) { sink = two / three; }
__attribute__((noinline)) void down(void) { sink = one / three; }
__attribute__((noinline)) void exact(void) { sink = one + two; }
__attribute__((noinline)) void denormal(void) { sum = tiny * small; }
__attribute__((noinline)) void infinite(void) { sink = minus_one / none; }
__attribute__((noinline)) void fused(void) {
    float r;
    __asm__ volatile("fmadds %0,%1,%1,%1" : "=f"(r) : "f"(third));
    sum = r;
}
__attribute__((noinline)) void convert(void) {
    double r, quotient = two / three;
    sink = quotient;
    __asm__ volatile("fctiwz %0,%1" : "=f"(r) : "f"(half), "f"(quotient));
}
__attribute__((noinline)) void compare(void) {
    double quotient = two / three;
    sink = quotient;
    __asm__ volatile("fcmpu 1,%0,%1" : : "f"(one), "f"(quotient) : "cr1");
}
__attribute__((noinline)) void add_up(void) {
    float total = 0;
    for (int i = 0; i < LENGTH; i++) total += from[i];
    sum = total;
}
__attribute__((noinline)) void scale(void) {
    for (int i = 0; i < LENGTH; i++) to[i] = from[i] * third;
}
__attribute__((noinline)) void choose(void) {
    double total = 0;
    for (int i = 0; i < LENGTH; i++) {
        if (i & 1) total += doubles[i];
        else total -= one;
    }
    sink = total;
}
__attribute__((noinline)) void invalid(void) { double r = one / none; sink = r - r; }
__attribute__((noinline)) void root(void) {
    double r;
    __asm__ volatile("fsqrt %0,%1" : "=f"(r) : "f"(two));
    sink = r;
}
__attribute__((noinline)) void count(void) {
    union { word w; double d; } both = {integer};
    double r;
    __asm__ volatile("fcfid %0,%1" : "=f"(r) : "f"(both.d));
    sink = r;
}
__attribute__((noinline)) void nested(void) {
    up();
    integer = integer + 0;
}
__attribute__((noinline)) void narrow(void) { sum = (float)large; }

typedef void Case(void);
static Case *const cases[CASES] = {up, down, exact, denormal, infinite, fused, convert, compare,
                                   add_up, scale, choose, invalid, root, count, nested, narrow};

__attribute__((noinline)) word observe(Case *compute) {
    union { double d; word w; } status;
    compute();
    __asm__ volatile("mffs %0" : "=f"(status.d) : : "memory");
    return status.w & 0x7f000;
}

void run(word *stack) {
    const char **arguments = (const char **)(stack + 1);
    word rounds = 0, changes = 0, first[CASES];
    for (const char *digit = arguments[1]; *digit; digit++) rounds = 10 * rounds + *digit - '0';
    for (int i = 0; i < LENGTH; i++) from[i] = 0.1f * (i + 1), doubles[i] = 0.7 * i;
    for (int i = 0; i < CASES; i++) write_hex(first[i] = observe(cases[i]));
    for (word round = 1; round < rounds; round++)
        for (int i = 0; i < CASES; i++) changes += observe(cases[i]) != first[i];
    write_hex(changes);
    call(1, 0, 0, 0, 0, 0, 0);
}
