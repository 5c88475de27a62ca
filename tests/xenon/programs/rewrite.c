/* Programs that make code at run time: written, made visible, called, changed, called again. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, LI_R3 = 0x38600000, BLR = 0x4E800020, ROUNDS = 100, CALLS = 2000 };
typedef int function(void);

static void flush(void *code) {
    __asm__ volatile("dcbst 0,%0; sync; icbi 0,%0; isync" : : "r"(code) : "memory");
}

static int call(uint32_t *code) {
#if _CALL_ELF == 2
    return ((function *)code)();
#else
    struct { void *entry, *toc, *environment; } descriptor = { code, 0, 0 };
    return ((function *)&descriptor)();
#endif
}

static void put(uint32_t *code, int value) {
    code[0] = LI_R3 | value;
    code[1] = BLR;
}

static uint32_t *pages(int rights) {
    uint32_t *code = mmap(0, 4 * PAGE, rights, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return code == MAP_FAILED ? 0 : code;
}

/* Rounds of code at `target`, written at `source`: how often a call returned something else. */
static int rounds(uint32_t *source, uint32_t *target) {
    int wrong = 0;
    for (int round = 0; round < ROUNDS; round++) {
        put(source, round);
        flush(target);
        for (int i = 0; i < CALLS; i++) wrong += call(target) != round;
    }
    return wrong;
}

static int toggle(uint32_t *code) {
    int wrong = 0;
    for (int round = 0; round < ROUNDS; round++) {
        mprotect(code, PAGE, PROT_READ | PROT_WRITE);
        put(code, round);
        flush(code);
        mprotect(code, PAGE, PROT_READ | PROT_EXEC);
        for (int i = 0; i < CALLS; i++) wrong += call(code) != round;
    }
    return wrong;
}

static int from_file(uint32_t *code) {
    int wrong = 0;
    for (int round = 0; round < 20; round++) {
        int file = open("/code", O_RDONLY);
        for (int page = 0; page < 3; page++) {
            put(code + page * PAGE / 4, round);
            flush(code + page * PAGE / 4);
            for (int i = 0; i < CALLS; i++) wrong += call(code + page * PAGE / 4) != round;
        }
        wrong += read(file, code, 3 * PAGE) != 3 * PAGE;
        close(file);
        for (int page = 0; page < 3; page++) wrong += call(code + page * PAGE / 4) != 77;
    }
    return wrong;
}

static int on_stack(void) {
    volatile uint32_t frame[64];
    uint32_t *code = (uint32_t *)frame + 8;
    uintptr_t first = (uintptr_t)frame & -PAGE;
    if (mprotect((void *)first, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) &&
        mprotect((void *)first, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC))
        return 1;
    return rounds(code, code);
}

static int refused(void) {
    uintptr_t here = (uintptr_t)&here & -PAGE, views[] = { 0x80000000, 0xA0000000, 0xC0000000, 0xE0000000 };
    int wrong = 0;
    for (int i = 0; i < 4; i++) {
        char *view = (char *)(views[i] | here);
        wrong += mprotect(view, 2 * PAGE, PROT_READ | PROT_WRITE) != -1 || errno != ENOMEM;
        wrong += munmap(view, PAGE) != -1 || errno != EINVAL;
    }
    return wrong;
}

int main(int count, char **arguments) {
    const char *how = count > 1 ? arguments[1] : "";
    uint32_t *code = pages(PROT_READ | PROT_WRITE | PROT_EXEC);
    int wrong = 1;
    if (!code) return 1;
    if (!strcmp(how, "jit")) wrong = rounds(code, code);
    if (!strcmp(how, "view")) wrong = rounds((uint32_t *)((uintptr_t)code | 0x80000000), code);
    if (!strcmp(how, "toggle")) wrong = toggle(code);
    if (!strcmp(how, "read")) wrong = from_file(code);
    if (!strcmp(how, "stack")) wrong = on_stack();
    if (!strcmp(how, "refused")) wrong = refused();
    if (!strcmp(how, "discard")) {
        wrong = rounds(code, code);
        madvise(code, PAGE, MADV_DONTNEED);
        flush(code);
        wrong += call(code);
    }
    puts(wrong ? "wrong" : "right");
    return wrong != 0;
}
