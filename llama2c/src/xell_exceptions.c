// Exceptions: nothing here expects one, so the registers are printed and the thread stops. XeLL leaves other bytes at
// the vectors, where a program without handlers would run on.
#include "memory.h"
#include "xell.h"

enum { STUB_WORDS = 3, ALL_RED = 0xf };
static const uint32_t BRANCH_ABSOLUTE = 0x48000002, BRANCH_TARGET = 0x03fffffc;

volatile int32_t xell_probe = 0;

extern const uint32_t vector_stub[STUB_WORDS];
extern const char take_exception[];

// As take_exception in xell_start.S stores it.
typedef struct {
    uint64_t general[32];
    uint64_t vector, thread, srr0, srr1, dar, dsisr, lr, ctr, cr, xer;
} Exception_Frame;

static const uint16_t VECTORS[] = {0x100, 0x200, 0x300, 0x380, 0x400, 0x480, 0x500,  0x600,  0x700,  0x800,
                                   0x900, 0x980, 0xc00, 0xd00, 0xf00, 0xf20, 0x1300, 0x1600, 0x1700, 0x1800};

void exceptions_start(void)
{
    for (uint64_t i = 0; i < sizeof VECTORS / sizeof *VECTORS; i++) {
        uint32_t *code = (uint32_t *)(uint64_t)VECTORS[i];
        code[0] = vector_stub[0];
        code[1] = vector_stub[1] | VECTORS[i];
        code[2] = BRANCH_ABSOLUTE | ((uint32_t)(uint64_t)take_exception & BRANCH_TARGET);
        __asm__ volatile("dcbst 0, %0\n\tsync\n\ticbi 0, %0\n\tisync" ::"r"(code) : "memory");
    }
}

static void show_number(const char *name, uint64_t value)
{
    char text[17];
    text[0] = ' ';
    for (int i = 0; i < 16; i++) {
        text[1 + i] = "0123456789abcdef"[value >> (60 - 4 * i) & 15];
    }
    show(" ", *name != '\n');
    show(name, strlen(name));
    show(text, 17);
}

// Called by xell_start.S on a stack of its own. Comes back for a probe.
void xell_exception(const Exception_Frame *frame)
{
    if (xell_probe == PROBING && frame->thread == 0) {
        xell_probe = (int32_t)frame->vector;
        return;
    }
    for (int i = 1; i < XELL_THREADS; i++) {
        xell_mailboxes[i].ended = 1;
    }
    show("\nexception:", 11);
    show_number("vector", frame->vector);
    show_number("thread", frame->thread);
    show_number("\nSRR0", frame->srr0);
    show_number("SRR1", frame->srr1);
    show_number("LR", frame->lr);
    show_number("\nDAR", frame->dar);
    show_number("DSISR", frame->dsisr);
    show_number("CTR", frame->ctr);
    show_number("\nCR", frame->cr);
    show_number("XER", frame->xer);
    for (int i = 0; i < 32; i++) {
        char name[] = {'\n', 'r', (char)('0' + i / 10), (char)('0' + i % 10), 0};
        show_number(name + (i % 4 != 0), frame->general[i]);  // four a line
    }
    show("\n", 1);
    smc_ring_of_light(0, ALL_RED);
    stop();
}
