/* Hardware threads that share words by lwarx, stwcx. and barriers; the first argument says how. */
#include "raw.h"

#ifndef MESSAGES
#define MESSAGES 2000
#endif

enum { ADDS = 4000, LOCKED = 1500, STORES = 4000, PAGE = 4096, FAR_FROM_STACK = 4 << 20 };
enum { PROT_READ = 1, PROT_ALL = 7, MAP_PRIVATE_ANONYMOUS = 0x22 };

static char stacks[6][4096] __attribute__((aligned(16)));
static word threads;
static unsigned counter __attribute__((aligned(128)));
static word wide __attribute__((aligned(128)));
static unsigned lock __attribute__((aligned(128)));
static unsigned flag __attribute__((aligned(128)));
static unsigned finished __attribute__((aligned(128)));
static volatile word plain, message[8];

static void start(word thread, void (*task)(word)) {
    call(0x7801, thread, (word)(stacks[thread] + 3968), (word)task, thread, 0, 0);
}
static void join(word thread) { call(0x7802, thread, 0, 0, 0, 0, 0); }
static void end_task(void) { call(0x7803, 0, 0, 0, 0, 0, 0); }

__attribute__((noinline)) static void add_words(word me) {
    (void)me;
    for (int i = 0; i < ADDS; i++) __atomic_fetch_add(&counter, 1, __ATOMIC_RELAXED);
}
__attribute__((noinline)) static void add_doublewords(word me) {
    for (int i = 0; i < ADDS; i++) __atomic_fetch_add(&wide, (me + 1) << 32 | 1, __ATOMIC_RELAXED);
}
__attribute__((noinline)) static void add_locked(word me) {
    (void)me;
    for (int i = 0; i < LOCKED; i++) {
        while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE)) {}
        plain = plain + 1;
        __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
    }
}
static void words_task(word me) { add_words(me), end_task(); }
static void doublewords_task(word me) { add_doublewords(me), end_task(); }
static void locked_task(word me) { add_locked(me), end_task(); }

/* What was stored before a flag is seen by whoever sees the flag. */
__attribute__((noinline)) static void send(word me) {
    (void)me;
    for (unsigned n = 1; n <= MESSAGES; n++) {
        for (int i = 0; i < 8; i++) message[i] = n;
        __atomic_store_n(&flag, 2 * n, __ATOMIC_RELEASE);
        while (__atomic_load_n(&flag, __ATOMIC_ACQUIRE) == 2 * n) {}
    }
}
__attribute__((noinline)) static word receive(void) {
    word wrong = 0;
    for (unsigned n = 1; n <= MESSAGES; n++) {
        while (__atomic_load_n(&flag, __ATOMIC_ACQUIRE) != 2 * n) {}
        for (int i = 0; i < 8; i++) wrong += message[i] != n;
        __atomic_store_n(&flag, 2 * n + 1, __ATOMIC_RELEASE);
    }
    return wrong;
}
static void send_task(word me) { send(me), end_task(); }

/* A plain store is not lost between the comparison and the store of another thread's stwcx. */
__attribute__((noinline)) static void add_to_the_end(word me) {
    (void)me;
    while (!__atomic_load_n(&finished, __ATOMIC_ACQUIRE)) __atomic_fetch_add(&counter, 1, __ATOMIC_RELAXED);
}
__attribute__((noinline)) static word store_and_look(void) {
    word lost = 0;
    for (unsigned n = 1; n <= STORES; n++) {
        *(volatile unsigned *)&counter = n << 18;
        for (int look = 0; look < 8; look++) lost += *(volatile unsigned *)&counter >> 18 != n;
    }
    return lost;
}
static void adder_task(word me) { add_to_the_end(me), end_task(); }

/* CR0 after stwcx. and the word, as one number. */
#define STORE_CONDITIONAL(at, value)                                                                          \
    ({                                                                                                        \
        word cr;                                                                                              \
        __asm__ volatile("stwcx. %1,0,%2\n\tmfcr %0" : "=r"(cr) : "r"(value), "r"(at) : "cr0", "memory");      \
        cr >> 28 & 15;                                                                                        \
    })
#define LOAD_AND_RESERVE(at)                                                                                  \
    ({                                                                                                        \
        word loaded;                                                                                          \
        __asm__ volatile("lwarx %0,0,%1" : "=r"(loaded) : "r"(at) : "memory");                                \
        loaded;                                                                                               \
    })
static unsigned pair[64] __attribute__((aligned(128)));

__attribute__((noinline)) static word use_reservations(void) {
    word result = 0;
    pair[0] = 0x80000001, pair[32] = 7;
    result = result << 4 | STORE_CONDITIONAL(&pair[0], 1UL); /* without a reservation */
    result = result << 4 | (LOAD_AND_RESERVE(&pair[0]) == 0x80000001);
    result = result << 4 | STORE_CONDITIONAL(&pair[0], 0x1234567800000002UL);
    result = result << 4 | STORE_CONDITIONAL(&pair[0], 3UL); /* it is used up */
    LOAD_AND_RESERVE(&pair[0]);
    result = result << 4 | STORE_CONDITIONAL(&pair[32], 4UL); /* elsewhere */
    result = result << 4 | STORE_CONDITIONAL(&pair[0], 5UL);  /* and cleared by that */
    LOAD_AND_RESERVE(&pair[0]);
    *(volatile unsigned *)&pair[0] = 6;
    result = result << 4 | STORE_CONDITIONAL(&pair[0], 7UL); /* the value has changed */
    return result << 8 | pair[0] << 4 | pair[32];
}

__attribute__((noinline)) static word replace(volatile unsigned *at, word value) {
    LOAD_AND_RESERVE(at);
    return STORE_CONDITIONAL(at, value);
}

static word new_page(word protection) { return call(90, 0, PAGE, protection, MAP_PRIVATE_ANONYMOUS, -1L, 0); }

/* li r3, n; blr */
static void change_code(void) {
    volatile unsigned *code = (volatile unsigned *)new_page(PROT_ALL);
    code[0] = 0x38600001, code[1] = 0x4E800020;
    for (word n = 1; n <= 3; n++) {
        word result;
        __asm__ volatile("mtctr %1\n\tmr 12,%1\n\tbctrl\n\tmr %0,3" : "=r"(result) : "r"(code)
                         : "r3", "r12", "ctr", "lr", "memory");
        write_hex(result << 4 | replace(code, 0x38600000 + n + 1));
        __asm__ volatile("dcbst 0,%0\n\tsync\n\ticbi 0,%0\n\tisync" : : "r"(code) : "memory");
    }
}

static void run_all(void (*task)(word), void (*own)(word)) {
    for (word thread = 1; thread < threads; thread++) start(thread, task);
    own(0);
    for (word thread = 1; thread < threads; thread++) join(thread);
}

void run(word *stack) {
    const char *how = (const char *)stack[2];
    threads = call(0x7800, 0, 0, 0, 0, 0, 0);
    if (same(how, "words")) {
        run_all(words_task, add_words);
        write_hex(counter);
    } else if (same(how, "doublewords")) {
        run_all(doublewords_task, add_doublewords);
        write_hex(wide);
    } else if (same(how, "lock")) {
        run_all(locked_task, add_locked);
        write_hex(plain);
    } else if (same(how, "again")) { /* long enough to be compiled on the way */
        for (int round = 0; round < 40; round++) {
            run_all(words_task, add_words);
            run_all(locked_task, add_locked);
        }
        write_hex(counter);
        write_hex(plain);
    } else if (same(how, "message")) {
        start(1, send_task);
        write_hex(receive());
    } else if (same(how, "stores")) {
        start(1, adder_task);
        word lost = store_and_look();
        __atomic_store_n(&finished, 1, __ATOMIC_RELEASE);
        join(1);
        write_hex(lost);
    } else if (same(how, "reservations")) {
        write_hex(use_reservations());
    } else if (same(how, "read-only")) {
        call(90, 0, FAR_FROM_STACK, PROT_READ, MAP_PRIVATE_ANONYMOUS, -1L, 0);
        replace((volatile unsigned *)new_page(PROT_READ), 1);
    } else if (same(how, "null")) {
        replace((volatile unsigned *)8, 1);
    } else if (same(how, "code")) {
        change_code();
    }
    call(234, 0, 0, 0, 0, 0, 0);
}
