/* Drives the GPU badly: the first argument says how. */
#include "raw.h"

enum { CP_RB_BASE = 0x1c0, CP_RB_CNTL = 0x1c1, CP_RB_WPTR = 0x1c5, RBBM_STATUS = 0x5d0 };
enum { OPENAT = 286, CLOSE = 6, MMAP = 90, READ = 3, EXIT = 1, HERE = -100, READ_WRITE = 2, SHARED = 1 };

static unsigned ring[256] __attribute__((aligned(128)));

void run(word *stack) {
    const char *how = (const char *)stack[2];
    word handle = call(OPENAT, (word)HERE, (word)"/dev/xenos", READ_WRITE, 0, 0, 0);
    volatile unsigned *gpu = (volatile unsigned *)call(MMAP, 0, 0x10000, 3, SHARED, handle, 0);
    unsigned count = 2;
    if (same(how, "file")) {
        write_hex((word)gpu);
        write_hex(call(READ, handle, (word)ring, 4, 0, 0, 0));
        write_hex(call(MMAP, 0, 0x20000, 3, SHARED, handle, 0));
        write_hex(call(CLOSE, handle, 0, 0, 0, 0, 0));
        call(EXIT, 0, 0, 0, 0, 0, 0);
    }
    if (same(how, "byte")) *((volatile char *)gpu + 0x714) = 1;
    if (same(how, "outside")) (void)*(volatile unsigned *)((volatile char *)gpu - 4);
    gpu[CP_RB_BASE] = same(how, "ring") ? 0x20000000 : (unsigned)(word)ring;
    gpu[CP_RB_CNTL] = 0x80020000 | 7;
    ring[0] = 0xc0007f00; /* an opcode that does not exist */
    if (same(how, "wait")) { /* until nobody writes here */
        ring[0] = 0xc0043c00, ring[1] = 0x13, ring[2] = (unsigned)(word)&ring[200] | 2;
        ring[3] = 1, ring[4] = 1, ring[5] = 0, count = 6;
    }
    gpu[CP_RB_WPTR] = count;
    while (gpu[RBBM_STATUS]) {
    }
    for (volatile int i = 0;; i++) {
    }
}
