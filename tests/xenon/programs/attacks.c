/* Makes system calls with every kind of address and length, and counts how they end. Each argument says a call:
   its number, and a letter for each parameter: p address, s length, n a number, others as in `value`.

   Prints a line a call: number, and how often it ended well, in EFAULT, in EINVAL, in ENOMEM, otherwise. What
   lies before and behind the one buffer that a call may write to must stay as it is. */
#include "raw.h"

enum { PAGE = 4096, GUARD = 16 * PAGE, SCRATCH = 16 * PAGE, EFAULT = 14, EINVAL = 22, ENOMEM = 12 };
static struct { unsigned char before[GUARD], scratch[SCRATCH], behind[GUARD]; } room __attribute__((aligned(4096)));
static const word VIEWS[] = {0x80000000, 0xa0000000, 0xc0000000, 0xe0000000};
static const word LENGTHS[] = {
    1, 7, 8, 15, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE + 5, 1 << 20, 512 << 20, 1UL << 31, 1UL << 63, -4096UL, -1UL};
static const word PLACES[] = {
    8, 0xffff, 0x1dfffff8, 0x1e000000, 0x1ffff000, 0x20000000, 0x7fc80000, 0x90030020, 0xfffffff8,
    1UL << 32, 1UL << 63, -4096UL, -8UL, -1UL};
static word addresses[64], address_count;

static word value(char kind, word address, word length, word number) {
    switch (kind) {
    case 'p': return address;
    case 's': return length;
    case 'n': return number;
    case 'f': return 0x32;  /* fixed, private, anonymous */
    case 'd': return 4;     /* of madvise: the pages are not needed */
    case 'm': return 0x53564d41;  /* of prctl: name a mapping */
    case 'x': return 3;     /* an open file */
    case 'y': return 4;     /* an open folder */
    case 'c': return 64;
    default: return 0;
    }
}

static void find_addresses(void) {
    word here = (word)room.scratch;
    for (unsigned view = 0; view < 4; view++) {
        word end = VIEWS[view] + 0x20000000 - (view == 3 ? PAGE : 0);
        word physical = view == 3 ? here - PAGE : here;
        word some[] = {VIEWS[view], VIEWS[view] | physical, (VIEWS[view] | physical) + 3, end - PAGE, end - 8, end - 1};
        for (unsigned i = 0; i < sizeof some / sizeof *some; i++) addresses[address_count++] = some[i];
    }
    for (unsigned i = 0; i < sizeof PLACES / sizeof *PLACES; i++) addresses[address_count++] = PLACES[i];
    addresses[address_count++] = here + 8;
    addresses[address_count++] = (word)VIEWS + 4;  /* may be read only */
}

static void attack(const char *kinds, long number, word *counts) {
    static const char PATH[] = "/data/numbers.bin";
    word sized = 0, numbered = 0;
    for (const char *kind = kinds; *kind; kind++) sized |= *kind == 's', numbered |= *kind == 'n';
    for (word a = 0; a < address_count; a++)
        for (word s = 0; s < (sized ? sizeof LENGTHS / sizeof *LENGTHS : 1); s++)
            for (word n = 1; n <= (numbered ? 3 : 1); n++) {
                word arguments[6] = {0};
                for (int i = 0; kinds[i]; i++) arguments[i] = value(kinds[i], addresses[a], LENGTHS[s], n);
                for (unsigned i = 0; i < sizeof PATH; i++) room.scratch[i] = (unsigned char)PATH[i];
                long result = (long)call(number, arguments[0], arguments[1], arguments[2], arguments[3],
                                         arguments[4], arguments[5]);
                counts[result >= 0 || result < -4095 ? 0 : result == -EFAULT ? 1 : result == -EINVAL ? 2
                       : result == -ENOMEM ? 3 : 4]++;
            }
}

static void write_number(word number) {
    char text[24], *start = text + 23;
    *start = 0;
    do *--start = (char)('0' + number % 10); while (number /= 10);
    write_text(" ");
    write_text(start);
}

void run(word *stack) {
    for (int i = 0; i < GUARD; i++) room.before[i] = room.behind[i] = (unsigned char)(i * 7 + 1);
    find_addresses();
    call(5, (word) "/data/numbers.bin", 0, 0, 0, 0, 0);
    call(5, (word) "/data", 0, 0, 0, 0, 0);
    for (word i = 1; i < stack[0]; i++) {
        const char *text = (const char *)stack[1 + i];
        long number = 0;
        word counts[5] = {0};
        while (*text >= '0' && *text <= '9') number = number * 10 + *text++ - '0';
        attack(text, number, counts);
        write_text("\ncall");
        write_number((word)number);
        for (int kind = 0; kind < 5; kind++) write_number(counts[kind]);
        write_text("\n");
    }
    for (int i = 0; i < GUARD; i++)
        if (room.before[i] != (unsigned char)(i * 7 + 1) || room.behind[i] != (unsigned char)(i * 7 + 1)) {
            write_text("\nmemory beside the buffer has changed\n");
            call(234, 1, 0, 0, 0, 0, 0);
        }
    write_text("\nsurvived\n");
    call(234, 0, 0, 0, 0, 0, 0);
}
