/* Modes that change results while functions are hot: OE and UE of FPSCR, NJ of VSCR. Prints the results of the first
   round, then in how many rounds one was another. The argument is the number of rounds. */
#include "raw.h"

typedef vector float floats;
typedef vector unsigned integers;
enum { RESULTS = 6 };
volatile double large = 1e200, small = 1e-200;
union { unsigned u[4]; floats v; } tiny = {{1, 0x007fffff, 0x00400000, 0x80000001}}, sum;

__attribute__((noinline)) word square(volatile double *number) {
    union { double d; word w; } both;
    both.d = *number * *number;
    return both.w;
}

__attribute__((noinline)) word add(void) {
    __asm__ volatile("vaddfp %0,%1,%1" : "=v"(sum.v) : "v"(tiny.v));
    return (word)sum.u[0] << 32 | sum.u[1];
}

/* Sets or clears OE and UE: by a value from memory, as fesetenv does, or by instructions that name them. */
__attribute__((noinline)) static void enable(int on) {
#ifdef FROM_MEMORY
    static volatile union { word w; double d; } environments[] = {{0}, {0x60}};
    __asm__ volatile("mtfsf 255,%0" : : "f"(environments[on].d) : "memory");
#else
    if (on) __asm__ volatile("mtfsb1 25\n\tmtfsb1 26" : : : "memory");
    else __asm__ volatile("mtfsb0 25\n\tmtfsb0 26" : : : "memory");
#endif
}

__attribute__((noinline)) static void set_non_java(unsigned on) {
    integers status = {0, 0, 0, on << 16};
    __asm__ volatile("mtvscr %0" : : "v"(status));
}

__attribute__((noinline)) static void compute(word *out) {
    *out++ = square(&large);
    enable(1);
    *out++ = square(&large);
    *out++ = square(&small);
    enable(0);
    *out++ = add();
    set_non_java(0);
    *out++ = add();
    set_non_java(1);
    *out++ = add();
}

void run(word *stack) {
    const char **arguments = (const char **)(stack + 1);
    word rounds = 0, changes = 0, first[RESULTS], now[RESULTS];
    for (const char *digit = arguments[1]; *digit; digit++) rounds = 10 * rounds + *digit - '0';
    compute(first);
    for (int i = 0; i < RESULTS; i++) write_hex(first[i]);
    for (word round = 1; round < rounds; round++) {
        compute(now);
        int other = 0;
        for (int i = 0; i < RESULTS; i++) other |= now[i] != first[i];
        changes += other;
    }
    write_hex(changes);
    call(1, 0, 0, 0, 0, 0, 0);
}
