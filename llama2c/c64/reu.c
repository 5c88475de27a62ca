// The RAM expansion's controller, the MOS 8726: registers $DF00 to $DF0A, and four kinds of transfers.
// Source: Commodore 1764 RAM Expansion Module User's Guide (1986); Wolfgang Moser, "Technical Reference
// Documentation, Commodore RAM Expansion Unit Controller - 8726R1" (2002), for what is left in the registers.
#include "machine.h"

#include "memory.h"

enum { STATUS = 0, COMMAND, C64_LOW, C64_HIGH, REU_LOW, REU_HIGH, REU_BANK, LENGTH_LOW, LENGTH_HIGH, MASK, CONTROL };
enum { PENDING = 0x80, END_OF_BLOCK = 0x40, FAULT = 0x20, LARGE = 0x10 };             // status, and bits of the mask
enum { EXECUTE = 0x80, AUTOLOAD = 0x20, AT_ONCE = 0x10, KIND = 3 };                   // command
enum { STASH = 0, FETCH = 1, SWAP = 2, VERIFY = 3 };                                  // its kinds
enum { FIX_C64 = 0x80, FIX_REU = 0x40 };                                              // address control
enum { NOTHING = 0xff, MASK_UNUSED = 0x1f, CONTROL_UNUSED = 0x3f };
static const uint32_t COUNTER_BYTES = 512 * 1024;  // addresses that the smallest controller counts

// Addresses of a REU: those of the controller, or of the memory where that has more.
static uint32_t address_mask(const Reu *reu)
{
    return (reu->bytes > COUNTER_BYTES ? reu->bytes : COUNTER_BYTES) - 1;
}

void reu_reset(Reu *reu)
{
    reu->status = reu->bytes > 128 * 1024 ? LARGE : 0;
    reu->command = AT_ONCE;
    reu->interrupt_mask = reu->address_control = 0;
    reu->c64_address = reu->c64_start = 0;
    reu->address = reu->start = 0;
    reu->length = reu->length_start = 0xffff;
    reu->armed = reu->busy = 0;
}

uint8_t reu_read(Reu *reu, uint8_t number)
{
    uint8_t status = reu->status;
    switch (number) {
    case STATUS: reu->status &= LARGE; return status;
    case COMMAND: return reu->command;
    case C64_LOW: return (uint8_t)reu->c64_address;
    case C64_HIGH: return reu->c64_address >> 8;
    case REU_LOW: return (uint8_t)reu->address;
    case REU_HIGH: return (uint8_t)(reu->address >> 8);
    case REU_BANK: return (uint8_t)(reu->address >> 16 | ~(address_mask(reu) >> 16));
    case LENGTH_LOW: return (uint8_t)reu->length;
    case LENGTH_HIGH: return reu->length >> 8;
    case MASK: return reu->interrupt_mask | MASK_UNUSED;
    case CONTROL: return reu->address_control | CONTROL_UNUSED;
    default: return NOTHING;
    }
}

// A write to half of a register takes the other half from what autoload would put there.
static uint32_t with_byte(uint32_t start, int byte, uint8_t value)
{
    return (start & ~(0xffu << 8 * byte)) | (uint32_t)value << 8 * byte;
}

static uint32_t command(Machine *machine, uint8_t value, uint64_t cycles)
{
    Reu *reu = &machine->reu;
    reu->command = value;
    reu->armed = (value & EXECUTE) && !(value & AT_ONCE);
    bus_map(machine);
    return (value & EXECUTE) && (value & AT_ONCE) ? reu_transfer(machine, cycles) : 0;
}

uint32_t reu_write(Machine *machine, uint8_t number, uint8_t value, uint64_t cycles)
{
    Reu *reu = &machine->reu;
    switch (number) {
    case COMMAND: return command(machine, value, cycles);
    case C64_LOW: case C64_HIGH:
        reu->c64_address = reu->c64_start = (uint16_t)with_byte(reu->c64_start, number - C64_LOW, value);
        return 0;
    case REU_LOW: case REU_HIGH: case REU_BANK:
        reu->address = reu->start = with_byte(reu->start, number - REU_LOW, value) & address_mask(reu);
        return 0;
    case LENGTH_LOW: case LENGTH_HIGH:
        reu->length = reu->length_start = (uint16_t)with_byte(reu->length_start, number - LENGTH_LOW, value);
        return 0;
    case MASK: reu->interrupt_mask = value & (uint8_t)~MASK_UNUSED; return 0;
    case CONTROL: reu->address_control = value & (uint8_t)~CONTROL_UNUSED; return 0;
    default: return 0;
    }
}

static int is_plain(const uint8_t *slow, uint32_t first, uint32_t count)
{
    if (first <= PORT || first + count > RAM_BYTES) {
        return 0;
    }
    for (uint32_t page = first >> 8; page <= (first + count - 1) >> 8; page++) {
        if (slow[page]) {
            return 0;
        }
    }
    return 1;
}

// Fetch or stash of a run of bytes that is RAM on both sides: whether it was one.
static int copied(Machine *machine, int kind, uint32_t count)
{
    Reu *reu = &machine->reu;
    uint32_t in_memory = reu->address & (reu->bytes - 1);
    uint8_t *ram = machine->ram + reu->c64_address;
    if (kind > FETCH || reu->address_control || in_memory + count > reu->bytes ||
        !is_plain(kind == FETCH ? machine->write_slow : machine->read_slow, reu->c64_address, count)) {
        return 0;
    }
    if (kind == FETCH) {
        memcpy(ram, reu->memory + in_memory, count);
    } else {
        memcpy(reu->memory + in_memory, ram, count);
    }
    reu->c64_address = (uint16_t)(reu->c64_address + count);
    reu->address = (reu->address + count) & address_mask(reu);
    return 1;
}

// One byte; whether a comparison fails.
static int transfer_byte(Machine *machine, int kind, uint64_t cycles)
{
    Reu *reu = &machine->reu;
    uint8_t *there = reu->memory + (reu->address & (reu->bytes - 1));
    uint8_t before = *there;
    uint8_t here = kind == FETCH ? 0 : bus_read(machine, reu->c64_address, cycles);
    if (kind == STASH || kind == SWAP) {
        *there = here;
    }
    if (kind == FETCH || kind == SWAP) {
        bus_write(machine, reu->c64_address, before, cycles);
    }
    reu->c64_address = (uint16_t)(reu->c64_address + !(reu->address_control & FIX_C64));
    reu->address = (reu->address + !(reu->address_control & FIX_REU)) & address_mask(reu);
    return kind == VERIFY && here != before;
}

static void finish(Reu *reu)
{
    uint8_t wanted = reu->status & reu->interrupt_mask & (END_OF_BLOCK | FAULT);
    if ((reu->interrupt_mask & PENDING) && wanted) {
        reu->status |= PENDING;
    }
    if (reu->command & AUTOLOAD) {
        reu->c64_address = reu->c64_start;
        reu->address = reu->start;
        reu->length = reu->length_start;
    }
    reu->command = (uint8_t)((reu->command & ~EXECUTE) | AT_ONCE);
}

uint32_t reu_transfer(Machine *machine, uint64_t cycles)
{
    Reu *reu = &machine->reu;
    int kind = reu->command & KIND;
    uint32_t count = reu->length ? reu->length : RAM_BYTES, left = count;
    reu->armed = 0;
    bus_map(machine);
    reu->busy = 1;
    if (copied(machine, kind, count)) {
        left = 0;
    }
    while (left) {
        left--;
        if (transfer_byte(machine, kind, cycles)) {
            reu->status |= FAULT;
            break;
        }
    }
    reu->busy = 0;
    if (!left) {
        reu->status |= END_OF_BLOCK;
    }
    reu->length = (uint16_t)(left ? left : 1);
    finish(reu);
    return kind == SWAP ? 2 * (count - left) : count - left;
}
