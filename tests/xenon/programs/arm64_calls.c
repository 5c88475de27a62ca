// Calls code of the project's by arm64's convention, as Unicorn, built by another compiler, does. The code and the
// names in capitals come from tests/xenon/host/test_arm64_calls.py. It exits with the number of the first check that
// fails, else with 0.

#include <stdint.h>

typedef void Hook(void *engine, uint64_t address, uint32_t size, void *data);
typedef int Swap4(uint32_t *place, uint32_t expected, uint32_t value);
typedef int Swap8(uint64_t *place, uint64_t expected, uint64_t value);

extern uint8_t stop_code[], stop_end[], count_code[], count_end[], swap_4[], swap_8[];
extern Hook bridge;

static uint64_t state[STATE_BYTES / 8], table[PAGE_COUNT + 1], blocks[SLOTS];
static uint8_t counters[1 << 16];
static void *seen[4];
static uint64_t numbers[4];
static int calls;

void *memcpy(void *to, const void *from, uint64_t size) {
    for (uint64_t i = 0; i < size; i++) {
        ((volatile uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    }
    return to;
}

static void leave(int status) {
    register long number __asm__("x8") = 93;
    register long code __asm__("x0") = status;
    __asm__ volatile("svc 0" : : "r"(number), "r"(code));
    __builtin_unreachable();
}

static void check(int number, int is_right) {
    if (!is_right) {
        leave(number);
    }
}

// Puts an address in the place of a marker behind the code.
static void patch(uint8_t *code, uint8_t *end, void *address) {
    for (; code + 8 <= end; code += 4) {
        if (*(uint64_t *)code == MARKER) {
            *(uint64_t *)code = (uint64_t)address;
            return;
        }
    }
    leave(99);
}

static void stopped(void *engine) {
    calls++;
    seen[0] = engine;
}

static void counted(void *engine, uint64_t address, uint32_t size, void *data) {
    calls++;
    seen[0] = engine, seen[3] = data;
    numbers[1] = address, numbers[2] = size;
}

static int read_batch(void *engine, void *ids, void *places, int count) {
    calls++;
    seen[0] = engine, seen[1] = ids, seen[2] = places;
    numbers[3] = count;
    state[FPSCR / 8] = FPSCR_UNUSUAL; // so that the hook leaves the block to Unicorn
    return 0;
}

void start(void) {
    void *engine = &seen, *ids = &table, *places = &blocks;

    Hook *stop = (Hook *)(void *)stop_code;
    patch(stop_code, stop_end, stopped);
    uint32_t flag = 0;
    stop(engine, ~0ull, 4, &flag);
    check(1, calls == 0);
    flag = 1;
    stop(engine, ~0ull, 4, &flag);
    check(2, calls == 1 && seen[0] == engine);

    Hook *count = (Hook *)(void *)count_code;
    patch(count_code, count_end, counted);
    uint64_t *first = (uint64_t *)(counters + COUNTERS + 2 * 0x40), *behind = (uint64_t *)(counters + COUNTERS + 2 * 0x50);
    count(engine, 0x40, 0x10, counters);
    check(3, calls == 1 && *first == 1 && *behind == ~0ull);
    check(4, *(uint64_t *)(counters + BLOCK_END) == 0x50);
    *(uint64_t *)(counters + FLAG) = 1;
    count(engine, 0x123456789a, 0x10, counters);
    check(5, calls == 2 && numbers[1] == 0x123456789a && numbers[2] == 0x10 && seen[3] == counters);

    uint32_t word = 5;
    uint64_t pair = 5;
    check(6, !((Swap4 *)(void *)swap_4)(&word, 6, 7) && word == 5);
    check(7, ((Swap4 *)(void *)swap_4)(&word, 5, 7) && word == 7);
    check(8, !((Swap8 *)(void *)swap_8)(&pair, 1ull << 32 | 5, 7) && pair == 5);
    check(9, ((Swap8 *)(void *)swap_8)(&pair, 5, 1ull << 40) && pair == 1ull << 40);

    for (int page = 0; page <= PAGE_COUNT; page++) {
        table[page] = (uint64_t)blocks;
    }
    state[SKIP / 8] = ~0ull;
    state[DISPATCH / 8] = (uint64_t)table;
    state[READ_BATCH / 8] = (uint64_t)read_batch;
    state[ENGINE_IDS / 8] = (uint64_t)ids, state[ENGINE_PLACES / 8] = (uint64_t)places;
    bridge(engine, ADDRESS, 4, state);
    check(10, calls == 2); // nothing is compiled there
    blocks[ADDRESS / 4 % SLOTS] = (uint64_t)stopped;
    bridge(engine, ADDRESS, 4, state);
    check(11, calls == 3 && seen[0] == engine && seen[1] == ids && seen[2] == places);
    check(12, numbers[3] == REGISTERS_READ);
    leave(0);
}
