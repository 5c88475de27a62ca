// A Commodore 64 without its ROM chips: a 6510, 64 KiB, a RAM expansion, and the KERNAL's entries that programs call.
#ifndef C64_MACHINE_H
#define C64_MACHINE_H

#include <stdint.h>

enum { RAM_BYTES = 65536, IO_BYTES = 4096, PAGES = 256, SCREEN_BYTES = 1000 };
enum { PORT_DIRECTION = 0x0000, PORT = 0x0001, STACK = 0x0100, SCREEN = 0x0400, COLOUR = 0xd800, TRIGGER = 0xff00 };
// Bits of the status register P.
enum { FLAG_C = 1, FLAG_Z = 2, FLAG_I = 4, FLAG_D = 8, FLAG_B = 16, FLAG_UNUSED = 32, FLAG_V = 64, FLAG_N = 128 };

// Why the processor stopped; the numbers are those of xenon/c64/records.py.
typedef enum {
    RUNNING = 0,
    ENDED = 1,         // the SYS returned
    NO_KEY = 2,        // the program waits for a key, and all have been typed
    UNDOCUMENTED = 3,  // the opcode at pc is none of the 151 documented ones
    NO_ENTRY = 4,      // pc is an address of a ROM that is not served
    IN_IO = 5,         // pc is an address of a device's registers
    NO_SYS = 6,        // the BASIC program begins with something else than SYS and a number
    AT_ROM = 7,        // within the machine: pc is an address of a visible ROM
} Stop;

// The RAM expansion's controller, a MOS 8726. `memory` has a power of two of bytes, 128 KiB to 16 MiB.
typedef struct {
    uint8_t *memory;
    uint32_t bytes;
    uint8_t status, command, interrupt_mask, address_control;
    uint16_t c64_address, c64_start;  // the register, and what autoload puts there
    uint32_t address, start;
    uint16_t length, length_start;
    int armed;  // waits for a write to $FF00
    int busy;   // has the bus, and does not answer to it
} Reu;

typedef struct {
    uint8_t ram[RAM_BYTES];
    uint8_t io[IO_BYTES];  // $D000 to $DFFF: what was last written, where reading does not make another value
    uint8_t read_slow[PAGES], write_slow[PAGES];  // whether an access is more than one to RAM
    uint64_t cycles, instructions;
    uint16_t pc;
    uint8_t a, x, y, s, p;
    uint8_t port_latch, port_direction;
    Reu reu;
    uint64_t clock_start;  // cycle at which CIA 2's time of day was 0
    const uint8_t *keys;   // PETSCII, typed one after the other
    uint64_t key_count, keys_typed;
    uint64_t last_poll, idle_polls;
    uint64_t rom_reads;  // bytes read of ROMs that are not there
    uint16_t rom_read_address;  // the first of them
} Machine;

// A machine with empty RAM as BASIC's prompt finds it; a REU of 0 bytes is none.
void machine_reset(Machine *machine, uint8_t *reu_memory, uint32_t reu_bytes);
// Puts a program file, two bytes of address before it, into RAM. 0 where it does not fit.
int machine_load(Machine *machine, const uint8_t *program, uint64_t bytes);
// Runs until the counter has this many cycles, or until the program stops.
Stop machine_run(Machine *machine, uint64_t until);

// The processor alone: until so many cycles, an opcode that is not documented, or an address of ROM or I/O.
Stop processor_run(Machine *machine, uint64_t until);

// Recomputes what is visible where, after a write to $00 or $01.
void bus_map(Machine *machine);
int bus_rom_visible(const Machine *machine, uint16_t address);
uint8_t bus_read_slow(Machine *machine, uint16_t address, uint64_t cycles);
// Returns the cycles for which a transfer of the REU stops the processor.
uint32_t bus_write_slow(Machine *machine, uint16_t address, uint8_t value, uint64_t cycles);
uint8_t bus_read(Machine *machine, uint16_t address, uint64_t cycles);
void bus_write(Machine *machine, uint16_t address, uint8_t value, uint64_t cycles);

void reu_reset(Reu *reu);
uint8_t reu_read(Reu *reu, uint8_t number);
uint32_t reu_write(Machine *machine, uint8_t number, uint8_t value, uint64_t cycles);
uint32_t reu_transfer(Machine *machine, uint64_t cycles);

// What the ROM would do at pc: RUNNING, and pc behind the call, or why the program stops.
Stop kernal_serve(Machine *machine);
// Starts the program in memory as RUN does.
Stop kernal_run(Machine *machine);
// Has the processor at an address, and behind SYS once it returns.
void kernal_start(Machine *machine, uint16_t address);
void kernal_put(Machine *machine, uint8_t character);

#endif
