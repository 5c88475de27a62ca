/* Hardware threads that wait for each other by futex, sleep and read; the first argument says how.
 * No word has two writers at a time: atomics.c is about those. */
#include "raw.h"

enum { WAIT, WAKE, REQUEUE = 3, CMP_REQUEUE, WAIT_BITSET = 9, WAKE_BITSET, ALL = 0x7FFFFFFF, ROUNDS = 50 };
typedef volatile unsigned futex;

static char stacks[6][4096] __attribute__((aligned(16)));
static word threads;
static futex turn, produced, consumed, gate, second, never;
static volatile word counter, slot, sum, passed[6];

static long wait_while(futex *at, unsigned value) { return call(221, (word)at, WAIT, value, 0, 0, 0); }
static long wake(futex *at, word count) { return call(221, (word)at, WAKE, count, 0, 0, 0); }

static void start(word thread, void (*task)(word)) {
    call(0x7801, thread, (word)(stacks[thread] + 3968), (word)task, thread, 0, 0);
}
static void join(word thread) { call(0x7802, thread, 0, 0, 0, 0, 0); }
static void end_task(void) { call(0x7803, 0, 0, 0, 0, 0, 0); }

/* A mutex that goes round: the tickets of a ticket lock, drawn in advance. */
static void take_turns(word me) {
    for (word round = 0; round < ROUNDS; round++) {
        unsigned seen, mine = (unsigned)(round * threads + me);
        while ((seen = turn) != mine) wait_while(&turn, seen);
        counter = counter + 1;
        turn = mine + 1;
        wake(&turn, ALL);
    }
}
static void turns(word me) { take_turns(me), end_task(); }

/* A condition: one side says that there is something, the other that there is room. */
static void produce(word me) {
    for (unsigned n = 1; n <= ROUNDS; n++) {
        slot = n * me;
        produced = n;
        wake(&produced, 1);
        while (consumed != n) wait_while(&consumed, n - 1);
    }
    end_task();
}
static void consume(void) {
    for (unsigned n = 1; n <= ROUNDS; n++) {
        while (produced != n) wait_while(&produced, n - 1);
        sum += slot;
        consumed = n;
        wake(&consumed, 1);
    }
}

static void at_bit(word me) {
    call(221, (word)&gate, WAIT_BITSET, 0, 0, 0, 1 << me);
    passed[me] = 1;
    end_task();
}
static void at_gate(word me) {
    wait_while(&gate, 0);
    passed[me] = 1;
    end_task();
}
static void for_ever(word me) { (void)me, wait_while(&never, 0), end_task(); }
static void nothing(word me) { (void)me, end_task(); }
static void sleep_long(word me) {
    (void)me;
    word second[2] = {1, 0};
    call(162, (word)second, 0, 0, 0, 0, 0);
    write_text("slept\n");
    end_task();
}
static void read_byte(word me) {
    (void)me;
    char text[2] = {0, 0};
    call(3, 0, (word)text, 1, 0, 0, 0);
    write_text(text);
    end_task();
}
static void work(void) {
    for (int i = 0; i < 100; i++) {
        word place = call(90, 0, 8192, 3, 0x22, -1L, 0);
        *(volatile word *)place = i;
        call(91, place, 8192, 0, 0, 0, 0);
        write_text(".");
    }
}

static void run_all(void (*task)(word)) {
    for (word thread = 1; thread < threads; thread++) start(thread, task);
}
static void join_all(void) {
    for (word thread = 1; thread < threads; thread++) join(thread);
}

void run(word *stack) {
    const char *how = (const char *)stack[2];
    threads = call(0x7800, 0, 0, 0, 0, 0, 0);
    if (same(how, "turns")) {
        run_all(turns);
        take_turns(0);
        join_all();
        write_hex(counter);
    } else if (same(how, "condition")) {
        for (word thread = 1; thread < threads; thread++) {
            produced = consumed = 0;
            start(thread, produce);
            consume();
            join(thread);
        }
        write_hex(sum);
    } else if (same(how, "bits")) { /* woken one by one, the last first, by their bits */
        run_all(at_bit);
        for (word thread = threads - 1; thread; thread--) {
            while (call(221, (word)&gate, WAKE_BITSET, ALL, 0, 0, 1 << thread) == 0) {}
            join(thread);
            for (word other = 1; other < thread; other++) counter += passed[other];
        }
        write_hex(counter);
    } else if (same(how, "requeue")) {
        run_all(at_gate);
        while (counter < threads - 1) counter += call(221, (word)&gate, CMP_REQUEUE, 0, ALL, (word)&second, 0);
        write_hex(wake(&gate, ALL));
        while (counter) counter -= wake(&second, 1);
        join_all();
        for (word thread = 1; thread < threads; thread++) counter += passed[thread];
        write_hex(counter);
    } else if (same(how, "deadlock")) {
        run_all(for_ever);
        join_all();
    } else if (same(how, "left")) { /* whoever could have woken it has ended */
        run_all(nothing);
        for_ever(0);
    } else if (same(how, "stuck")) { /* one waits for ever while another one runs */
        run_all(for_ever);
        for (;;) {}
    } else if (same(how, "at once")) {
        write_hex(call(0x7804, 0, 0, 0, 0, 0, 0));
    } else if (same(how, "sleep")) {
        start(1, sleep_long);
        char text[2];
        call(3, 0, (word)text, 1, 0, 0, 0);
        work();
        join(1);
    } else if (same(how, "read")) {
        start(1, read_byte);
        word second[2] = {1, 0};
        call(162, (word)second, 0, 0, 0, 0, 0);
        work();
        join(1);
    }
    call(234, 0, 0, 0, 0, 0, 0);
}
