/* What instructions give that emulators tend to get wrong: computed again and again, so that the function gets hot
   on the way. Prints the results of the first round in hexadecimal, then in how many rounds a result was another.
   The argument is the number of rounds. */
#include "raw.h"

typedef vector float floats;
typedef union { floats v; unsigned u[4]; word w[2]; } Lanes;
enum { LOOKS = 6, RESULTS = 25 + LOOKS };
static unsigned char block[512] __attribute__((aligned(128)));
static double doubles[8];
static float singles[4];
static Lanes lanes[4];
static word numbers[4];
volatile double result;

static word bits(double value) {
    union { double d; word w; } both = {value};
    return both.w;
}

static word cleared(void) {
    word count = 0;
    for (int i = 0; i < 512; i++) count += !block[i];
    return count;
}

__attribute__((noinline)) void compute(word *out) {
    double d, large = doubles[0], nan = doubles[1], low = doubles[2];
    float f;
    Lanes v;
    word r, cr, zero = numbers[0], seven = numbers[1], lowest = numbers[2], minus = numbers[3];
    __asm__ volatile("fctiwz %0,%1" : "=f"(d) : "f"(large)); *out++ = bits(d);
    __asm__ volatile("fctiwz %0,%1" : "=f"(d) : "f"(nan)); *out++ = bits(d);
    __asm__ volatile("fctiw %0,%1" : "=f"(d) : "f"(low)); *out++ = bits(d);
    __asm__ volatile("fctid %0,%1" : "=f"(d) : "f"(doubles[3])); *out++ = bits(d);
    __asm__ volatile("fctidz %0,%1" : "=f"(d) : "f"(doubles[3])); *out++ = bits(d);
    __asm__ volatile("fmadds %0,%1,%1,%2" : "=f"(f) : "f"(singles[0]), "f"(singles[1])); *out++ = bits(f);
    __asm__ volatile("fnmsubs %0,%1,%1,%2" : "=f"(f) : "f"(singles[0]), "f"(singles[1])); *out++ = bits(f);
    __asm__ volatile("divw %0,%1,%2" : "=r"(r) : "r"(seven), "r"(zero)); *out++ = r;
    __asm__ volatile("divd. %0,%2,%3\n\tmfcr %1" : "=r"(r), "=r"(cr) : "r"(lowest), "r"(minus) : "cr0");
    *out++ = r; *out++ = cr >> 28;
    __asm__ volatile("divdu %0,%1,%2" : "=r"(r) : "r"(seven), "r"(zero)); *out++ = r;
    __asm__ volatile("mulhw. %0,%2,%3\n\tmfcr %1" : "=r"(r), "=r"(cr) : "r"(minus), "r"(seven) : "cr0");
    *out++ = r; *out++ = cr >> 28;
    __asm__ volatile("mulhwu %0,%1,%1" : "=r"(r) : "r"(minus)); *out++ = r;
    __asm__ volatile("fres %0,%1" : "=f"(d) : "f"(doubles[4])); *out++ = bits(d);
    __asm__ volatile("frsqrte %0,%1" : "=f"(d) : "f"(doubles[4])); *out++ = bits(d);
    __asm__ volatile("vrefp %0,%1" : "=v"(v.v) : "v"(lanes[0].v)); *out++ = v.w[0];
    __asm__ volatile("vexptefp %0,%1" : "=v"(v.v) : "v"(lanes[1].v)); *out++ = v.w[0];
    __asm__ volatile("vaddfp %0,%1,%2" : "=v"(v.v) : "v"(lanes[2].v), "v"(lanes[3].v)); *out++ = v.w[0];
    __asm__ volatile("vcmpeqfp %0,%1,%2" : "=v"(v.v) : "v"(lanes[2].v), "v"(lanes[0].v - lanes[0].v));
    *out++ = v.w[0];
    __asm__ volatile("lvewx %0,0,%1" : "=v"(v.v) : "b"(&lanes[0].u[3])); *out++ = v.w[0];
    __asm__ volatile("addic %0,%2,1\n\tmfxer %1" : "=r"(r), "=r"(cr) : "b"(minus) : "xer"); *out++ = cr;
    register word place __asm__("r5") = (word)numbers + 12;
    register word loaded __asm__("r6");
    __asm__ volatile(".long 0x7cc0282f" : "=r"(loaded) : "r"(place));  /* lwzx 6, 0, 5 with a reserved bit */
    *out++ = loaded;
    for (int i = 0; i < 512; i++) block[i] = 255;
    place = (word)block + 200;
    __asm__ volatile(".long 0x7c002fec" : : "r"(place) : "memory");  /* dcbz 0, 5 */
    *out++ = cleared();
    __asm__ volatile(".long 0x7c202fec" : : "r"(place) : "memory");  /* dcbzl 0, 5 */
    *out++ = cleared();
}

__attribute__((noinline)) void divide(double a, double b) { result = a / b; }
__attribute__((noinline)) void subtract(double a, double b) { result = a - b; }

static word exceptions(void) {
    double d;
    __asm__ volatile("mffs %0" : "=f"(d) : : "memory");
    return bits(d) & 0xbff80700;  /* FX, VX, OX, UX, ZX, XX, and VXSNAN to VXCVI */
}

static void clear(void) {
    double none = 0;
    __asm__ volatile("mtfsf 255,%0" : : "f"(none) : "memory");
}

/* mffs keeps this function on Unicorn; those that it calls get hot. */
__attribute__((noinline)) void look(word *out) {
    double infinity = -doubles[2];
    clear(), divide(doubles[4], 3), *out++ = exceptions();
    clear(), divide(doubles[4], 0), *out++ = exceptions();
    clear(), divide(1e-300, doubles[3]), *out++ = exceptions();
    clear(), divide(1e300, doubles[6]), *out++ = exceptions();
    clear(), subtract(infinity, infinity), *out++ = exceptions();
    clear(), subtract(doubles[4], 2), *out++ = exceptions();
}

void run(word *stack) {
    char **arguments = (char **)(stack + 1);
    word rounds = 0, changes = 0, first[RESULTS], now[RESULTS];
    for (const char *digit = arguments[1]; *digit; digit++) rounds = 10 * rounds + *digit - '0';
    doubles[0] = 3e10, doubles[1] = __builtin_nan(""), doubles[2] = -__builtin_inf(), doubles[3] = 1e30, doubles[4] = 1;
    doubles[6] = 1e-30;
    singles[0] = 1 + 0x1p-12f, singles[1] = 0x1p-60f;
    for (int i = 0; i < 4; i++) {
        lanes[0].u[i] = 0x3f800000 + (i << 23), lanes[1].u[i] = i ? 0x41a00000 : 0xc1200000;
        lanes[2].u[i] = 0x00400000, lanes[3].u[i] = 0x00800000;
    }
    numbers[1] = 7, numbers[2] = 1UL << 63, numbers[3] = -1UL;
    compute(first), look(first + RESULTS - LOOKS);
    for (int i = 0; i < RESULTS; i++) write_hex(first[i]);
    for (word round = 1; round < rounds; round++) {
        compute(now), look(now + RESULTS - LOOKS);
        int other = 0;
        for (int i = 0; i < RESULTS; i++) other |= now[i] != first[i];
        changes += other;
    }
    write_hex(changes);
    call(1, 0, 0, 0, 0, 0, 0);
}
