// The entries of KERNAL and BASIC that programs call, without a ROM: what they do to memory and registers.
// Source: Commodore 64 Programmer's Reference Guide (1982), chapter 5, "The KERNAL", and its memory map.
#include "machine.h"

#include "memory.h"

enum { CHROUT = 0xffd2, GETIN = 0xffe4, PLOT = 0xfff0 };
enum { CLEAR = 0xa659, RELINK = 0xa533, RUN = 0xa7ae, BEHIND_SYS = 0xe147 };
// Memory that the KERNAL shares with programs.
enum { REVERSE = 0xc7, LINE = 0xd1, COLUMN = 0xd3, ROW = 0xd6, LINE_COLOUR = 0xf3, TEXT_COLOUR = 0x286 };
enum { PROGRAM_START = 0x2b, SYS_A = 0x30c };
enum { ROWS = 25, COLUMNS = 40, SPACE = 32, SYS_TOKEN = 0x9e };
enum { RETURN_CYCLES = 6 };
// Cycles between two calls of GETIN, and calls, by which a program waits for a key; see read_key.
enum { WAITING_CYCLES = 100000, PATIENCE = 100000 };
static const uint16_t CHARACTER_SET = 0x18;  // of the VIC
static const uint8_t COLOURS[16] = {144, 5, 28, 159, 156, 30, 31, 158, 129, 149, 150, 151, 152, 153, 154, 155};

static void set_cursor(uint8_t *ram, int row, int column)
{
    uint16_t line = (uint16_t)(SCREEN + COLUMNS * row), colour = (uint16_t)(COLOUR + COLUMNS * row);
    ram[ROW] = (uint8_t)row;
    ram[COLUMN] = (uint8_t)column;
    ram[LINE] = (uint8_t)line;
    ram[LINE + 1] = (uint8_t)(line >> 8);
    ram[LINE_COLOUR] = (uint8_t)colour;
    ram[LINE_COLOUR + 1] = (uint8_t)(colour >> 8);
}

static void clear(Machine *machine)
{
    memset(machine->ram + SCREEN, SPACE, SCREEN_BYTES);
    memset(machine->io + (COLOUR & (IO_BYTES - 1)), machine->ram[TEXT_COLOUR], SCREEN_BYTES);
    set_cursor(machine->ram, 0, 0);
}

// A position that may lie a cell before or behind the screen; behind it, the screen moves up.
static void move_cursor(Machine *machine, int position)
{
    uint8_t *screen = machine->ram + SCREEN, *colours = machine->io + (COLOUR & (IO_BYTES - 1));
    if (position >= SCREEN_BYTES) {
        memmove(screen, screen + COLUMNS, SCREEN_BYTES - COLUMNS);
        memmove(colours, colours + COLUMNS, SCREEN_BYTES - COLUMNS);
        memset(screen + SCREEN_BYTES - COLUMNS, SPACE, COLUMNS);
        memset(colours + SCREEN_BYTES - COLUMNS, machine->ram[TEXT_COLOUR], COLUMNS);
        position -= COLUMNS;
    }
    position = position < 0 ? 0 : position;
    set_cursor(machine->ram, position / COLUMNS, position % COLUMNS);
}

static uint8_t screen_code(uint8_t character)
{
    switch (character >> 5) {
    case 2: return character & 0x1f;
    case 3: return character == 0xff ? 0x5e : (character & 0x1f) | 0x40;
    case 5: return (character & 0x1f) | 0x60;
    case 6: return (character & 0x1f) | 0x40;
    case 7: return character == 0xff ? 0x5e : (character & 0x1f) | 0x60;
    default: return character;
    }
}

static int is_colour(Machine *machine, uint8_t character)
{
    for (int number = 0; number < 16; number++) {
        if (COLOURS[number] == character) {
            machine->ram[TEXT_COLOUR] = (uint8_t)number;
            return 1;
        }
    }
    return 0;
}

static void control(Machine *machine, uint8_t character, int position)
{
    uint8_t *ram = machine->ram;
    switch (character) {
    case 13: case 141: ram[REVERSE] = 0; move_cursor(machine, position - position % COLUMNS + COLUMNS); break;
    case 14: machine->io[CHARACTER_SET] |= 2; break;
    case 142: machine->io[CHARACTER_SET] &= 0xfd; break;
    case 17: move_cursor(machine, position + COLUMNS); break;
    case 145: move_cursor(machine, position < COLUMNS ? position : position - COLUMNS); break;
    case 18: ram[REVERSE] = 1; break;
    case 146: ram[REVERSE] = 0; break;
    case 19: set_cursor(ram, 0, 0); break;
    case 147: clear(machine); break;
    case 20:
        move_cursor(machine, position - 1);
        ram[SCREEN + (position ? position - 1 : 0)] = SPACE;
        break;
    case 29: move_cursor(machine, position + 1); break;
    case 157: move_cursor(machine, position - 1); break;
    default: is_colour(machine, character);
    }
}

// CHROUT to the screen.
void kernal_put(Machine *machine, uint8_t character)
{
    uint8_t *ram = machine->ram;
    int position = (ram[ROW] < ROWS ? ram[ROW] : ROWS - 1) * COLUMNS + (ram[COLUMN] < COLUMNS ? ram[COLUMN] : COLUMNS - 1);
    if ((character & 0x7f) < SPACE) {
        control(machine, character, position);
        return;
    }
    ram[SCREEN + position] = screen_code(character) | (ram[REVERSE] ? 0x80 : 0);
    machine->io[(COLOUR & (IO_BYTES - 1)) + position] = ram[TEXT_COLOUR];
    move_cursor(machine, position + 1);
}

// GETIN. A key comes while the program does nothing but wait for one: at its second call without one in a tenth of a
// second. So no key is lost to a program that empties the buffer first.
static Stop read_key(Machine *machine)
{
    int waits = machine->idle_polls && machine->cycles - machine->last_poll < WAITING_CYCLES;
    machine->last_poll = machine->cycles;
    machine->a = 0;
    if (waits && machine->keys_typed < machine->key_count) {
        machine->a = machine->keys[machine->keys_typed++];
        machine->idle_polls = 0;
    } else {
        machine->idle_polls = waits ? machine->idle_polls + 1 : 1;
    }
    machine->p &= (uint8_t) ~(FLAG_C | FLAG_Z | FLAG_N);
    machine->p |= (uint8_t)((machine->a ? 0 : FLAG_Z) | (machine->a & FLAG_N));
    return machine->idle_polls > PATIENCE && machine->keys_typed == machine->key_count ? NO_KEY : RUNNING;
}

static void plot(Machine *machine)
{
    if (machine->p & FLAG_C) {
        machine->x = machine->ram[ROW];
        machine->y = machine->ram[COLUMN];
    } else {
        set_cursor(machine->ram, machine->x < ROWS ? machine->x : ROWS - 1,
                   machine->y < COLUMNS ? machine->y : COLUMNS - 1);
    }
    machine->p &= (uint8_t)~FLAG_C;
}

static uint8_t pull(Machine *machine)
{
    return machine->ram[STACK + ++machine->s];
}

static void push_word(Machine *machine, uint16_t word)
{
    machine->ram[STACK + machine->s--] = (uint8_t)(word >> 8);
    machine->ram[STACK + machine->s--] = (uint8_t)word;
}

void kernal_start(Machine *machine, uint16_t address)
{
    push_word(machine, BEHIND_SYS - 1);
    machine->a = machine->ram[SYS_A];
    machine->x = machine->ram[SYS_A + 1];
    machine->y = machine->ram[SYS_A + 2];
    machine->p = machine->ram[SYS_A + 3];
    machine->pc = address;
}

static uint16_t behind_spaces(const uint8_t *ram, uint16_t at)
{
    while (ram[at] == SPACE || ram[at] == '(') {
        at++;
    }
    return at;
}

Stop kernal_run(Machine *machine)
{
    const uint8_t *ram = machine->ram;
    uint16_t start = (uint16_t)(ram[PROGRAM_START] | ram[PROGRAM_START + 1] << 8);
    uint16_t at = behind_spaces(ram, (uint16_t)(start + 4));  // link and number of the line
    if (ram[at] != SYS_TOKEN) {
        return NO_SYS;
    }
    at = behind_spaces(ram, (uint16_t)(at + 1));
    uint32_t address = 0, digits = 0;
    for (; ram[at] >= '0' && ram[at] <= '9' && digits < 6; at++, digits++) {
        address = 10 * address + ram[at] - '0';
    }
    if (!digits || address >= RAM_BYTES) {
        return NO_SYS;
    }
    kernal_start(machine, (uint16_t)address);
    return RUNNING;
}

Stop kernal_serve(Machine *machine)
{
    Stop stop = RUNNING;
    switch (machine->pc) {
    case CHROUT:
        kernal_put(machine, machine->a);
        machine->p &= (uint8_t)~FLAG_C;
        break;
    case GETIN: stop = read_key(machine); break;
    case PLOT: plot(machine); break;
    case CLEAR: case RELINK: break;  // of BASIC's variables and lines, which RUN here has no use for
    case RUN: return kernal_run(machine);
    case BEHIND_SYS: return ENDED;
    default: return NO_ENTRY;
    }
    machine->cycles += RETURN_CYCLES;
    uint16_t low = pull(machine);
    machine->pc = (uint16_t)((low | pull(machine) << 8) + 1);
    return stop;
}
