/* A floating-point exception that is enabled, in a function that may be hot by then. Arguments: the operation, a digit;
   rounds of it without an exception before; FE0 and FE1 as prctl takes them; 1 for a handler of SIGFPE, which steps over
   the instruction and disables exceptions. */
#include "raw.h"

enum { SIGACTION = 173, PRCTL = 171, SIGFPE = 8, GET_FPEXC = 11, SET_FPEXC = 12 };
volatile double one = 1, three = 3, zero = 0, large = 1e200, small = 1e-200, ordinary = 4;
static volatile union { word w; double d; } enabled[] = {{0x80}, {0x10}, {0x40}, {0x20}, {0x08}, {0x80}}, none;

static void set_status(double value) { __asm__ volatile("mtfsf 255,%0" : : "f"(value) : "memory"); }

__attribute__((noinline)) double divide(double a, double b) {
    double result;
    __asm__ volatile("fdiv %0,%1,%2" : "=f"(result) : "f"(a), "f"(b) : "memory");
    return result;
}

__attribute__((noinline)) double multiply(double a, double b) {
    double result;
    __asm__ volatile("fmul %0,%1,%2" : "=f"(result) : "f"(a), "f"(b) : "memory");
    return result;
}

__attribute__((noinline)) word convert(double a) {
    union { double d; word w; } result;
    __asm__ volatile("fctiwz %0,%1" : "=f"(result.d) : "f"(a) : "memory");
    return result.w;
}

static word number(const char *digits) {
    word value = 0;
    for (; *digits; digits++) value = 10 * value + *digits - '0';
    return value;
}

/* struct siginfo and struct ucontext of Linux, in words: si_code, si_addr; r0 to r31, the PC behind them; FPSCR. */
enum { ADDRESS = 2, GENERAL = 29, PLACE = 32, FLOAT = 77, STATUS = 32 };

static void handle(int signal, word *information, word *context) {
    write_hex(signal);
    write_hex(information[1] >> 32);
    write_hex(information[ADDRESS] == context[GENERAL + PLACE]);
    context[GENERAL + PLACE] += 4;
    context[FLOAT + STATUS] = 0;
}

void run(word *stack) {
    const char **arguments = (const char **)(stack + 1);
    word operation = number(arguments[1]), rounds = number(arguments[2]), mode = number(arguments[3]);
    struct { word handler, flags, restorer, mask; } action = {(word)handle, 4, 0, 0};
    unsigned now = 9;
    if (number(arguments[4])) call(SIGACTION, SIGFPE, (word)&action, 0, 8, 0, 0);
    set_status(none.d);
    for (word i = 0; i < rounds; i++) {
        divide(ordinary, ordinary);
        multiply(ordinary, ordinary);
        convert(ordinary);
    }
    write_hex(call(PRCTL, SET_FPEXC, mode, 0, 0, 0, 0));
    call(PRCTL, GET_FPEXC, (word)&now, 0, 0, 0, 0);
    write_hex(now);
    set_status(enabled[operation].d);
    divide(ordinary, ordinary);
    if (operation == 0) divide(zero, zero);
    if (operation == 1) divide(one, zero);
    if (operation == 2) multiply(large, large);
    if (operation == 3) multiply(small, small);
    if (operation == 4) divide(one, three);
    if (operation == 5) convert(large);
    set_status(none.d);
    write_hex(0x600d);
    call(1, 0, 0, 0, 0, 0, 0);
}
