/* Does the one wrong (or endless) thing that its argument names. Freestanding, so that the place is known exactly. */
#include "raw.h"

__attribute__((noinline)) static word read_at(volatile unsigned *place) {
    return *place;
}

__attribute__((noinline)) static word deep(word depth) {
    volatile word room[512];
    room[0] = depth;
    return deep(depth + 1) + room[0];
}

__asm__(".text\n\t.p2align 2\nnothing:\t.long 0x00000000");
extern const unsigned nothing[];

static void jump(word place) {
    __asm__ volatile("mtctr %0\n\tbctrl" : : "r"(place) : "lr", "ctr");
}

__attribute__((noinline)) static void misdeed(const char *name) {
    if (same(name, "null")) read_at((volatile unsigned *)0x10);
    if (same(name, "wild")) read_at((volatile unsigned *)0x1cafe000);
    if (same(name, "outside")) read_at((volatile unsigned *)0x123456789000);
    if (same(name, "system")) *(volatile unsigned *)0x1e000000 = 1;
    if (same(name, "text")) *(volatile unsigned *)__builtin_return_address(0) = 1;
    if (same(name, "readonly")) *(volatile unsigned *)(0x80000000UL | (word)__builtin_return_address(0)) = 1;
    if (same(name, "device")) __asm__ volatile("mtctr %0\n\tbctrl" : : "r"(0x7fc80000UL) : "lr", "ctr");
    if (same(name, "hidden")) {
        word page = call(90, 0, 1 << 20, 3, 0x22, -1UL, 0);
        call(125, page, 4096, 0, 0, 0, 0);
        read_at((volatile unsigned *)page);
    }
    if (same(name, "jump")) __asm__ volatile("li 0,0\n\tmtctr 0\n\tbctrl" ::: "lr", "ctr", "r0");
    if (same(name, "data")) __asm__ volatile("mtctr %0\n\tbctrl" : : "r"(&name) : "lr", "ctr");
    if (same(name, "view")) jump(0x80000000 + (word)nothing);
    if (same(name, "viewed")) jump(0xa0000000 + (word)&name);
    if (same(name, "illegal")) __asm__ volatile(".long 0x00000000");
    if (same(name, "vsx")) __asm__ volatile(".long 0x7c002698");
    if (same(name, "trap")) __asm__ volatile("trap");
    if (same(name, "misaligned")) __asm__ volatile("lwarx 4,0,%0" : : "r"((word)name | 1) : "r4");
    if (same(name, "unknown")) call(326, 2, 1, 0, 0, 0, 0);
    if (same(name, "number")) call(999, 1, 2, 3, 4, 5, 6);
    if (same(name, "overflow")) deep(0);
    if (same(name, "futex")) { unsigned lock = 1; call(221, (word)&lock, 0, 1, 0, 0, 0); }
    if (same(name, "spin")) { write_text("spinning\n"); for (;;) __asm__ volatile(""); }
    if (same(name, "calls")) { write_text("calling\n"); for (;;) call(20, 0, 0, 0, 0, 0, 0); }
    if (same(name, "sleep")) { word time[2] = {1000, 0}; write_text("sleeping\n"); call(162, (word)time, 0, 0, 0, 0, 0); }
    if (same(name, "read")) { char byte; write_text("reading\n"); call(3, 0, (word)&byte, 1, 0, 0, 0); }
    if (same(name, "flood")) for (;;) write_text("and on and on and on and on and on and on and on and on\n");
}

void run(word *stack) {
    misdeed((const char *)stack[2]);
    write_text("survived\n");
    call(234, 0, 0, 0, 0, 0, 0);
}
