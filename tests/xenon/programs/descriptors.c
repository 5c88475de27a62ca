// A task of another hardware thread, given by a pointer to a function: in ABI v1 that is the address of a descriptor.
// The task reaches its variables through its table of contents. Exit status: what it has counted.

typedef unsigned long word;
enum { EXIT = 1, RUN_TASK = 0x7801, JOIN_TASK = 0x7802, END_TASK = 0x7803 };

static word call(word number, word a, word b, word c, word d)
{
    register word r0 __asm__("r0") = number, r3 __asm__("r3") = a, r4 __asm__("r4") = b;
    register word r5 __asm__("r5") = c, r6 __asm__("r6") = d;
    __asm__ volatile("sc" : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6)
                     : : "memory", "cr0", "r7", "r8", "r9", "r10", "r11", "r12", "ctr");
    return r3;
}

volatile word counted = 40;
static word stack[1024] __attribute__((aligned(16)));

static void task(word step)
{
    counted += step;
    call(END_TASK, 0, 0, 0, 0);
}

void _start(void)
{
    call(RUN_TASK, 1, (word)(stack + 1000), (word)task, 2);
    call(JOIN_TASK, 1, 0, 0, 0);
    call(EXIT, counted, 0, 0, 0);
}
