/* What a debugger looks at: a struct, vectors, a watched counter, a loop, a fault, and hardware threads. */
#include "raw.h"

typedef float float4 __attribute__((vector_size(16)));
struct point {
    int x, y;
    float weight;
};

volatile long counter;
volatile long spins;
struct point point = {3, 4, 2.5f};
float4 lanes;
static char stacks[6][4096] __attribute__((aligned(16)));

__attribute__((noinline)) long fibonacci(long n) {
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

__attribute__((noinline)) void bump(int by) {
    counter += by;
    point.x = by;
}

__attribute__((noinline)) void arrive(long thread) {
    __asm__ volatile("" : : "r"(thread));
}

__attribute__((noinline)) void spin(long thread) {
    arrive(thread);
    for (;;) spins += thread;
}

static void task(void) {
    spin(2);
}

void run(word *stack) {
    const char *how = stack[0] > 1 ? (const char *)stack[2] : "";
    lanes = (float4){1.5f, 2.5f, 3.5f, -4.0f};
    for (int i = 0; i < 5; i++) bump(i);
    if (same(how, "crash")) *(volatile int *)16 = 1;
    if (same(how, "threads")) {
        for (word thread = 1; thread < 3; thread++)
            call(0x7801, thread, (word)(stacks[thread] + 4000), (word)task, 0, 0, 0);
        spin(1);
    }
    if (same(how, "hot"))
        for (int i = 0; i < 400; i++) counter += fibonacci(12);
    write_hex(fibonacci(20));
    call(234, 7, 0, 0, 0, 0, 0);
}
