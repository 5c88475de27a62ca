// The machine as BASIC's prompt finds it, and a program loaded into it and run.
#include "machine.h"

#include "memory.h"

enum { BASIC_PROGRAM = 0x0801, LOWEST = 0x0200 };
enum { PROGRAM_START = 0x2b, PROGRAM_END = 0x2d, LOADED_END = 0xae, TEXT_COLOUR = 0x286, SCREEN_PAGE = 0x288, PAL = 0x2a6 };
enum { LIGHT_BLUE = 14, PORT_AT_START = 0x37, DIRECTION_AT_START = 0x2f, STACK_AT_START = 0xf6 };

static void put_word(uint8_t *ram, uint16_t address, uint32_t word)
{
    ram[address] = (uint8_t)word;
    ram[address + 1] = (uint8_t)(word >> 8);
}

void machine_reset(Machine *machine, uint8_t *reu_memory, uint32_t reu_bytes)
{
    memset(machine, 0, sizeof *machine);
    machine->reu.memory = reu_memory;
    machine->reu.bytes = reu_bytes;
    reu_reset(&machine->reu);
    machine->port_direction = DIRECTION_AT_START;
    machine->port_latch = PORT_AT_START;
    bus_map(machine);
    put_word(machine->ram, PROGRAM_START, BASIC_PROGRAM);
    machine->ram[TEXT_COLOUR] = LIGHT_BLUE;
    machine->ram[SCREEN_PAGE] = SCREEN >> 8;
    machine->ram[PAL] = 1;
    machine->s = STACK_AT_START;
    machine->io[0x11] = 0x1b;
    machine->io[0x16] = 0xc8;
    machine->io[0x18] = 0x15;
    machine->io[0x20] = LIGHT_BLUE;
    machine->io[0x21] = 6;
    machine->io[0xc00] = machine->io[0xc01] = 0xff;  // no key is pressed
    kernal_put(machine, 147);
}

int machine_load(Machine *machine, const uint8_t *program, uint64_t bytes)
{
    if (bytes < 3) {
        return 0;
    }
    uint32_t address = program[0] | (uint32_t)program[1] << 8;
    bytes -= 2;
    if (address < LOWEST || bytes > RAM_BYTES - address) {
        return 0;
    }
    memcpy(machine->ram + address, program + 2, bytes);
    put_word(machine->ram, LOADED_END, address + (uint32_t)bytes);
    if (address == BASIC_PROGRAM) {
        put_word(machine->ram, PROGRAM_END, address + (uint32_t)bytes);
        machine->pc = 0xa7ae;  // RUN
    } else {
        kernal_start(machine, (uint16_t)address);
    }
    return 1;
}

Stop machine_run(Machine *machine, uint64_t until)
{
    Stop stop = RUNNING;
    while (stop == RUNNING && machine->cycles < until) {
        stop = processor_run(machine, until);
        if (stop == AT_ROM) {
            stop = kernal_serve(machine);
        }
    }
    return stop;
}
