// Runs single instructions and whole programs on the C64's parts, for tests on the host and on the console.
// cases(n): each of CASE_BYTES is pc (low, high), A, X, Y, S, P, three bytes of code, three pokes (low, high, value).
// Each result has pc, A, X, Y, S, P, cycles, why it stopped, the poked bytes, and the three stack bytes below S.
#include "machine.h"
#include "memory.h"

#ifdef _WIN32
#define EXPORT __attribute__((dllexport))
#else
#define EXPORT __attribute__((visibility("default")))
#endif

enum { CASE_BYTES = 20, RESULT_BYTES = 16, POKES = 3, CODE = 7, FIRST_POKE = 10, ONLY_RAM = 0x34 };

static Machine machine;

static void poke_port(uint8_t value)
{
    bus_write_slow(&machine, PORT, value, 0);
}

static void run_case(const uint8_t *given, uint8_t *result)
{
    uint8_t *ram = machine.ram;
    uint16_t pc = (uint16_t)(given[0] | given[1] << 8), pokes[POKES];
    for (int i = 0; i < 3; i++) {
        ram[(uint16_t)(pc + i)] = given[CODE + i];
    }
    for (int i = 0; i < POKES; i++) {
        const uint8_t *poke = given + FIRST_POKE + 3 * i;
        pokes[i] = (uint16_t)(poke[0] | poke[1] << 8);
        if (pokes[i] > PORT) {
            ram[pokes[i]] = poke[2];
        }
    }
    machine.pc = pc;
    machine.a = given[2];
    machine.x = given[3];
    machine.y = given[4];
    machine.s = given[5];
    machine.p = given[6];
    machine.cycles = 0;
    Stop stop = processor_run(&machine, 1);
    uint8_t registers[] = {(uint8_t)machine.pc, (uint8_t)(machine.pc >> 8), machine.a, machine.x, machine.y,
                           machine.s, machine.p, (uint8_t)machine.cycles, (uint8_t)stop};
    memcpy(result, registers, sizeof registers);
    for (int i = 0; i < POKES; i++) {
        uint16_t below = (uint16_t)(STACK + (uint8_t)(given[5] - i));
        result[9 + i] = ram[pokes[i]];
        result[12 + i] = ram[below];
    }
    result[15] = 0;
    for (int i = 0; i < POKES; i++) {
        ram[STACK + (uint8_t)(given[5] - i)] = 0;
        if (pokes[i] > PORT) {
            ram[pokes[i]] = 0;
        }
    }
}

EXPORT void c64_cases(const uint8_t *cases, uint64_t count, uint8_t *results)
{
    machine_reset(&machine, 0, 0);
    memset(machine.ram + 2, 0, RAM_BYTES - 2);
    poke_port(ONLY_RAM);
    for (uint64_t i = 0; i < count; i++) {
        run_case(cases + CASE_BYTES * i, results + RESULT_BYTES * i);
    }
}

// A program file run to its end, or for so many cycles, with a REU and keys. Its RAM is left in ram.
EXPORT int c64_program(const uint8_t *program, uint64_t bytes, uint8_t *reu,
                                                       uint64_t reu_bytes, const uint8_t *keys, uint64_t key_count,
                                                       uint64_t cycles, uint8_t *ram, uint64_t *counters)
{
    machine_reset(&machine, reu, (uint32_t)reu_bytes);
    machine.keys = keys;
    machine.key_count = key_count;
    if (!machine_load(&machine, program, bytes)) {
        return -1;
    }
    Stop stop = machine_run(&machine, cycles);
    memcpy(ram, machine.ram, RAM_BYTES);
    counters[0] = machine.cycles;
    counters[1] = machine.instructions;
    counters[2] = machine.rom_reads;
    counters[3] = machine.pc;
    return (int)stop;
}

#ifdef CONSOLE
#include "platform.h"

// c64_cases FILE: the results go to standard output.
int main(int count, char **arguments)
{
    int64_t handle = count > 1 ? platform_open(arguments[1]) : -1;
    int64_t size = handle < 0 ? -1 : platform_size(handle);
    if (size < 0) {
        return 1;
    }
    uint64_t n = (uint64_t)size / CASE_BYTES;
    const uint8_t *cases = platform_map(handle, (uint64_t)size);
    uint8_t *results = platform_allocate("results", n * RESULT_BYTES);
    if (!cases || !results) {
        return 1;
    }
    c64_cases(cases, n, results);
    platform_write(STANDARD_OUTPUT, results, n * RESULT_BYTES);
    return 0;
}
#endif
