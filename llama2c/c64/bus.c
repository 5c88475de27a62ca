// What the processor and the REU see at an address: RAM, ROM that is not there, or a device.
// Source: Commodore 64 Programmer's Reference Guide (1982), chapter 5 and appendices M, N and O.
#include "machine.h"

enum { LORAM = 1, HIRAM = 2, CHAREN = 4, PULLED_UP = 0x17 };  // bits of the port; those that read 1 as inputs
enum { BASIC_ROM = 0xa0, BASIC_END = 0xc0, IO = 0xd0, IO_END = 0xe0, KERNAL_ROM = 0xe0, LAST_PAGE = 0xff };
enum { LINE_CYCLES = 63, LINES = 312, JIFFY_CYCLES = 16422, CYCLES_PER_SECOND = 985248 };
enum { VIC_CONTROL = 0x11, VIC_RASTER = 0x12, VIC_USED = 0x2f };
enum { TIMER_A_LOW = 4, TIMER_A_HIGH = 5, TENTHS = 8, SECONDS = 9, MINUTES = 10, HOURS = 11, PM = 0x80 };
enum { NOTHING = 0xff };  // what reads where nothing answers

static int port_bits(const Machine *machine)
{
    return (machine->port_latch & machine->port_direction) | (PULLED_UP & ~machine->port_direction);
}

static int io_visible(const Machine *machine)
{
    int bits = port_bits(machine);
    return (bits & (LORAM | HIRAM)) && (bits & CHAREN);
}

int bus_rom_visible(const Machine *machine, uint16_t address)
{
    int bits = port_bits(machine), page = address >> 8;
    if (page >= KERNAL_ROM) {
        return bits & HIRAM;
    }
    if (page >= IO) {
        return (bits & (LORAM | HIRAM)) && !(bits & CHAREN);  // the characters
    }
    return page >= BASIC_ROM && page < BASIC_END && (bits & LORAM) && (bits & HIRAM);
}

void bus_map(Machine *machine)
{
    int io = io_visible(machine);
    for (int page = 0; page < PAGES; page++) {
        int device = io && page >= IO && page < IO_END;
        machine->read_slow[page] = device || bus_rom_visible(machine, (uint16_t)(page << 8));
        machine->write_slow[page] = device || (page == LAST_PAGE && machine->reu.armed);
    }
    machine->ram[PORT_DIRECTION] = machine->port_direction;
    machine->ram[PORT] = (uint8_t)port_bits(machine);
}

static uint8_t bcd(uint64_t value)
{
    return (uint8_t)(value / 10 << 4 | value % 10);
}

// The time of day of CIA 2 counts from the last write to its tenths.
static uint8_t time_of_day(const Machine *machine, int number, uint64_t cycles)
{
    uint64_t tenths = (cycles - machine->clock_start) * 10 / CYCLES_PER_SECOND;
    uint64_t seconds = tenths / 10, hours = seconds / 3600 % 24;
    switch (number) {
    case TENTHS: return (uint8_t)(tenths % 10);
    case SECONDS: return bcd(seconds % 60);
    case MINUTES: return bcd(seconds / 60 % 60);
    default: return bcd(hours % 12) | (hours >= 12 ? PM : 0);
    }
}

static uint64_t from_bcd(uint8_t value)
{
    return (uint64_t)(value >> 4 & 7) * 10 + (value & 15);
}

static void set_time_of_day(Machine *machine, const uint8_t *cia, uint64_t cycles)
{
    uint64_t hours = from_bcd(cia[HOURS]) + (cia[HOURS] & PM ? 12 : 0);
    uint64_t seconds = (hours * 60 + from_bcd(cia[MINUTES])) * 60 + from_bcd(cia[SECONDS]);
    machine->clock_start = cycles - seconds * CYCLES_PER_SECOND - cia[TENTHS] * (uint64_t)CYCLES_PER_SECOND / 10;
}

// Where a register that appears at many addresses is kept.
static uint16_t home(uint16_t address)
{
    uint16_t offset = address & (IO_BYTES - 1);
    switch (offset >> 8) {
    case 0x0: case 0x1: case 0x2: case 0x3: return offset & 0x3f;
    case 0x4: case 0x5: case 0x6: case 0x7: return 0x400 | (offset & 0x1f);
    case 0xc: case 0xd: return offset & 0xf0f;
    default: return offset;
    }
}

static int has_reu(const Machine *machine)
{
    return machine->reu.bytes && !machine->reu.busy;
}

static uint8_t read_vic(const Machine *machine, int number, uint64_t cycles)
{
    uint64_t line = cycles / LINE_CYCLES % LINES;
    if (number == VIC_CONTROL) {
        return (machine->io[number] & 0x7f) | (line > 255 ? 0x80 : 0);
    }
    return number == VIC_RASTER ? (uint8_t)line : number < VIC_USED ? machine->io[number] : NOTHING;
}

static uint8_t read_io(Machine *machine, uint16_t address, uint64_t cycles)
{
    uint16_t offset = home(address), number = offset & 15;
    switch (offset >> 8) {
    case 0x0: return read_vic(machine, offset, cycles);
    case 0x8: case 0x9: case 0xa: case 0xb: return machine->io[offset] | 0xf0;  // four bits of colour
    case 0xc:
        if (number == TIMER_A_LOW || number == TIMER_A_HIGH) {  // counts down between the KERNAL's interrupts
            uint64_t left = JIFFY_CYCLES - 1 - cycles % JIFFY_CYCLES;
            return (uint8_t)(number == TIMER_A_LOW ? left : left >> 8);
        }
        return machine->io[offset];
    case 0xd: return number >= TENTHS && number <= HOURS ? time_of_day(machine, number, cycles) : machine->io[offset];
    case 0xe: return NOTHING;
    case 0xf: return has_reu(machine) ? reu_read(&machine->reu, offset & 0x1f) : NOTHING;
    default: return machine->io[offset];
    }
}

uint8_t bus_read_slow(Machine *machine, uint16_t address, uint64_t cycles)
{
    if (!bus_rom_visible(machine, address)) {
        return read_io(machine, address, cycles);
    }
    if (!machine->rom_reads++) {
        machine->rom_read_address = address;
    }
    return NOTHING;
}

uint32_t bus_write_slow(Machine *machine, uint16_t address, uint8_t value, uint64_t cycles)
{
    if (address == PORT_DIRECTION || address == PORT) {
        *(address == PORT ? &machine->port_latch : &machine->port_direction) = value;
        bus_map(machine);
        return 0;
    }
    int page = address >> 8;
    if (page < IO || page >= IO_END) {
        machine->ram[address] = value;
        return address == TRIGGER && machine->reu.armed ? reu_transfer(machine, cycles) : 0;
    }
    uint16_t offset = home(address);
    if (page == IO_END - 1) {
        return has_reu(machine) ? reu_write(machine, offset & 0x1f, value, cycles) : 0;
    }
    machine->io[offset] = value;
    if (offset == (0xd00 | TENTHS)) {
        set_time_of_day(machine, machine->io + 0xd00, cycles);
    }
    return 0;
}

uint8_t bus_read(Machine *machine, uint16_t address, uint64_t cycles)
{
    return machine->read_slow[address >> 8] ? bus_read_slow(machine, address, cycles) : machine->ram[address];
}

// A device's write: the port belongs to the processor alone.
void bus_write(Machine *machine, uint16_t address, uint8_t value, uint64_t cycles)
{
    if (machine->write_slow[address >> 8]) {
        bus_write_slow(machine, address, value, cycles);
    } else if (address > PORT) {
        machine->ram[address] = value;
    }
}
