// The 6510: its documented instructions with their cycles; decimal mode as the NMOS chip has it.
// Source: MOS Technology, MCS6500 Microcomputer Family Programming Manual (1976); for the flags after decimal
// arithmetic, Bruce Clark, "Decimal Mode" (6502.org).
#include "machine.h"

// The operations of opcodes.def.
#define OPERATIONS \
    X(NONE) X(ADC) X(AND) X(ASL) X(BCC) X(BCS) X(BEQ) X(BIT) X(BMI) X(BNE) X(BPL) X(BRK) X(BVC) X(BVS) X(CLC) X(CLD) \
    X(CLI) X(CLV) X(CMP) X(CPX) X(CPY) X(DEC) X(DEX) X(DEY) X(EOR) X(INC) X(INX) X(INY) X(JMP) X(JSR) X(LDA) X(LDX) \
    X(LDY) X(LSR) X(NOP) X(ORA) X(PHA) X(PHP) X(PLA) X(PLP) X(ROL) X(ROR) X(RTI) X(RTS) X(SBC) X(SEC) X(SED) X(SEI) \
    X(STA) X(STX) X(STY) X(TAX) X(TAY) X(TSX) X(TXA) X(TXS) X(TYA)
#define X(name) name,
typedef enum { OPERATIONS } Operation;
#undef X
typedef enum {
    IMPLIED, ACCUMULATOR, IMMEDIATE, RELATIVE, ZERO_PAGE, ZERO_PAGE_X, ZERO_PAGE_Y, ABSOLUTE, ABSOLUTE_X, ABSOLUTE_Y,
    INDIRECT, INDIRECT_X, INDIRECT_Y,
} Mode;
// What an instruction does at its address before it operates; CHANGES and READS fetch a byte.
typedef enum { NOTHING, WRITES, CHANGES, READS } Access;

static const struct {
    uint8_t operation, mode, cycles, access;
} decoded[256] = {
#define OPCODE(code, operation, mode, cycles, access) [code] = {operation, mode, cycles, access},
#include "opcodes.def"
};

enum { NEGATIVE = 0x8080 };  // bits of `result` that tell N: bit 7 of the last result, bit 15 of BIT and PLP

// A sum and its flags, as ADC and SBC leave them: A, C << 8, V << 9, and a result for N and Z << 16.
static uint32_t packed(unsigned a, unsigned carry, unsigned overflow, unsigned result)
{
    return (a & 0xff) | (carry ? 0x100u : 0) | (overflow ? 0x200u : 0) | result << 16;
}

// Z is that of the binary sum, N and V come from the high digit before it is corrected.
uint32_t decimal_add(unsigned a, unsigned m, unsigned carry)
{
    unsigned low = (a & 15) + (m & 15) + carry;
    if (low > 9) {
        low = ((low + 6) & 15) + 16;
    }
    unsigned sum = (a & 0xf0) + (m & 0xf0) + low;
    unsigned zero = (a + m + carry) & 0xff;
    unsigned overflow = ~(a ^ m) & (a ^ sum) & 0x80;
    unsigned result = (zero ? 1 : 0) | (sum & 0x80) << 8;
    if (sum > 0x9f) {
        sum += 0x60;
    }
    return packed(sum, sum > 0xff, overflow, result);
}

// All flags are those of the binary difference.
uint32_t decimal_subtract(unsigned a, unsigned m, unsigned carry)
{
    unsigned difference = a + (m ^ 0xff) + carry;
    int low = (int)(a & 15) - (int)(m & 15) - (carry ? 0 : 1);
    int digits = (int)(a & 0xf0) - (int)(m & 0xf0);
    digits += low < 0 ? ((low - 6) & 15) - 16 : low;
    if (digits < 0) {
        digits -= 0x60;
    }
    return packed((unsigned)digits, difference > 0xff, (a ^ m) & (a ^ difference) & 0x80, difference & 0xff);
}

#define WORD(low) (uint16_t)(ram[low] | ram[(uint16_t)((low) + 1)] << 8)
#define ZERO_PAGE_WORD(low) (uint16_t)(ram[low] | ram[(uint8_t)((low) + 1)] << 8)
#define PUSH(value) ram[STACK + s] = (uint8_t)(value), s = (uint8_t)(s - 1)
#define PULL (s = (uint8_t)(s + 1), ram[STACK + s])
#define STATUS \
    (uint8_t)(carry | (result & 0xff ? 0 : FLAG_Z) | flags | FLAG_UNUSED | (overflow ? FLAG_V : 0) | \
              (result & NEGATIVE ? FLAG_N : 0))
#define TAKE_STATUS(value) \
    carry = (value) & FLAG_C, flags = (value) & (FLAG_I | FLAG_D), overflow = (value) & FLAG_V, \
    result = ((value) & FLAG_Z ? 0 : 1) | ((value) & FLAG_N) << 8
#define COMPARE(with) carry = with >= m, result = (uint8_t)(with - m)

// Registers are locals, so that a compiler keeps them in its own. Two choices an instruction, of mode and of operation,
// take a third of the code of one choice among opcodes, and the recompiler compiles it in a third of the time; one choice
// would run half as fast again. What follows an opcode is read from RAM whatever is visible there.
Stop processor_run(Machine *machine, uint64_t until)
{
    uint8_t *const ram = machine->ram;
    const uint8_t *const read_slow = machine->read_slow, *const write_slow = machine->write_slow;
    uint64_t cycles = machine->cycles, instructions = machine->instructions;
    unsigned pc = machine->pc, a = machine->a, x = machine->x, y = machine->y, s = machine->s;
    unsigned carry, flags, overflow, result;
    TAKE_STATUS((unsigned)machine->p);
    Stop stop = RUNNING;
    while (cycles < until) {
        if (read_slow[pc >> 8]) {
            stop = bus_rom_visible(machine, (uint16_t)pc) ? AT_ROM : IN_IO;
            break;
        }
        unsigned opcode = ram[pc], access = decoded[opcode].access;
        if (decoded[opcode].operation == NONE) {
            stop = UNDOCUMENTED;
            break;
        }
        unsigned m = a, base = 0, address = (uint16_t)(pc + 1), index = 0;
        pc = (uint16_t)(pc + 2);
        cycles += decoded[opcode].cycles;
        instructions++;
        switch (decoded[opcode].mode) {
        case IMPLIED:
        case ACCUMULATOR:
            pc = address;
            goto operate;
        case ZERO_PAGE_X: index = x; break;
        case ZERO_PAGE_Y: index = y; break;
        case ABSOLUTE_X: index = x; goto absolute;
        case ABSOLUTE_Y: index = y; goto absolute;
        case ABSOLUTE:
        absolute:
            base = WORD(address);
            pc = (uint16_t)(pc + 1);
            goto indexed;
        case INDIRECT:  // the high byte of the pointer does not change: JMP ($12FF) reads $12FF and $1200
            base = WORD(address);
            address = bus_read(machine, (uint16_t)base, cycles);
            address |= (unsigned)bus_read(machine, (uint16_t)((base & 0xff00) | (uint8_t)(base + 1)), cycles) << 8;
            goto operate;
        case INDIRECT_X:
            base = (uint8_t)(ram[address] + x);
            base = ZERO_PAGE_WORD(base);
            goto indexed;
        case INDIRECT_Y:
            base = ram[address];
            base = ZERO_PAGE_WORD(base);
            index = y;
        indexed:
            address = (uint16_t)(base + index);
            if (access == READS) {
                cycles += ((base ^ address) >> 8) != 0;
            }
            goto load;
        case IMMEDIATE:
        case RELATIVE: goto load;
        default: break;
        }
        address = (uint8_t)(ram[address] + index);
    load:
        if (access >= CHANGES) {
            m = read_slow[address >> 8] ? bus_read_slow(machine, (uint16_t)address, cycles) : ram[address];
        }
    operate:
        switch (decoded[opcode].operation) {
        case BPL: if (!(result & NEGATIVE)) { goto branch; } continue;
        case BMI: if (result & NEGATIVE) { goto branch; } continue;
        case BVC: if (!overflow) { goto branch; } continue;
        case BVS: if (overflow) { goto branch; } continue;
        case BCC: if (!carry) { goto branch; } continue;
        case BCS: if (carry) { goto branch; } continue;
        case BNE: if (result & 0xff) { goto branch; } continue;
        case BEQ: if (!(result & 0xff)) { goto branch; } continue;
        case CLC: carry = 0; continue;
        case SEC: carry = 1; continue;
        case CLI: flags &= ~(unsigned)FLAG_I; continue;
        case SEI: flags |= FLAG_I; continue;
        case CLD: flags &= ~(unsigned)FLAG_D; continue;
        case SED: flags |= FLAG_D; continue;
        case CLV: overflow = 0; continue;
        case DEX: result = x = (uint8_t)(x - 1); continue;
        case DEY: result = y = (uint8_t)(y - 1); continue;
        case INX: result = x = (uint8_t)(x + 1); continue;
        case INY: result = y = (uint8_t)(y + 1); continue;
        case TAX: result = x = a; continue;
        case TAY: result = y = a; continue;
        case TXA: result = a = x; continue;
        case TYA: result = a = y; continue;
        case TSX: result = x = s; continue;
        case TXS: s = x; continue;
        case PHA: PUSH(a); continue;
        case PHP: PUSH(STATUS | FLAG_B); continue;
        case PLA: result = a = PULL; continue;
        case PLP: m = PULL; TAKE_STATUS(m); continue;
        case JMP: pc = address; continue;
        case JSR:  // the target's high byte is read behind the pushes, which may change it
            base = (uint16_t)(pc - 1);
            PUSH(base >> 8);
            PUSH(base);
            pc = (address & 0xff) | (unsigned)ram[base] << 8;
            continue;
        case RTI:
            m = PULL;
            TAKE_STATUS(m);
            pc = PULL;
            pc |= (unsigned)PULL << 8;
            continue;
        case RTS:
            pc = PULL;
            pc = (uint16_t)((pc | (unsigned)PULL << 8) + 1);
            continue;
        case BRK:
            pc = (uint16_t)(pc + 1);
            PUSH(pc >> 8);
            PUSH(pc);
            PUSH(STATUS | FLAG_B);
            flags |= FLAG_I;
            pc = bus_read(machine, 0xfffe, cycles);
            pc |= (unsigned)bus_read(machine, 0xffff, cycles) << 8;
            continue;
        case ADC:
            if (flags & FLAG_D) {
                m = decimal_add(a, m, carry);
                goto take_decimal;
            }
            base = a + m + carry;
            overflow = ~(a ^ m) & (a ^ base) & 0x80;
            carry = base >> 8;
            result = a = (uint8_t)base;
            continue;
        case SBC:
            if (flags & FLAG_D) {
                m = decimal_subtract(a, m, carry);
                goto take_decimal;
            }
            base = a + (m ^ 0xff) + carry;
            overflow = (a ^ m) & (a ^ base) & 0x80;
            carry = base >> 8;
            result = a = (uint8_t)base;
            continue;
        case AND: result = a &= m; continue;
        case ORA: result = a |= m; continue;
        case EOR: result = a ^= m; continue;
        case LDA: result = a = m; continue;
        case LDX: result = x = m; continue;
        case LDY: result = y = m; continue;
        case BIT:
            result = (a & m) | (m & 0x80) << 8;
            overflow = m & 0x40;
            continue;
        case CMP: COMPARE(a); continue;
        case CPX: COMPARE(x); continue;
        case CPY: COMPARE(y); continue;
        case STA: break;
        case STX: m = x; break;
        case STY: m = y; break;
        case ASL:
            carry = m >> 7;
            m = result = (uint8_t)(m << 1);
            break;
        case LSR:
            carry = m & 1;
            m = result = m >> 1;
            break;
        case ROL:
            m = m << 1 | carry;
            carry = m >> 8;
            m = result = (uint8_t)m;
            break;
        case ROR:
            m |= carry << 8;
            carry = m & 1;
            m = result = m >> 1;
            break;
        case INC: m = result = (uint8_t)(m + 1); break;
        case DEC: m = result = (uint8_t)(m - 1); break;
        default: continue;
        }
        if (decoded[opcode].mode == ACCUMULATOR) {
            a = m;
        } else if (address <= PORT || write_slow[address >> 8]) {
            cycles += bus_write_slow(machine, (uint16_t)address, (uint8_t)m, cycles);
        } else {
            ram[address] = (uint8_t)m;
        }
        continue;
    branch:
        address = (uint16_t)(pc + (int8_t)m);
        cycles += ((pc ^ address) >> 8) ? 2 : 1;
        pc = address;
        continue;
    take_decimal:
        a = (uint8_t)m;
        carry = m >> 8 & 1;
        overflow = m & 0x200;
        result = m >> 16;
    }
    machine->cycles = cycles;
    machine->instructions = instructions;
    machine->pc = (uint16_t)pc;
    machine->a = (uint8_t)a;
    machine->x = (uint8_t)x;
    machine->y = (uint8_t)y;
    machine->s = (uint8_t)s;
    machine->p = STATUS;
    return stop;
}
