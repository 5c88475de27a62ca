// The 6510: its documented instructions with their cycles; decimal mode as the NMOS chip has it.
// Source: MOS Technology, MCS6500 Microcomputer Family Programming Manual (1976); for the flags after decimal
// arithmetic, Bruce Clark, "Decimal Mode" (6502.org).
#include "machine.h"

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

// Where an operand lies. `next` is the address behind the opcode; pc is moved behind the instruction.
#define ZERO_PAGE_ADDRESS(index) (uint8_t)(ram[next] + (index))
#define WORD(low) (uint16_t)(ram[low] | ram[(uint16_t)((low) + 1)] << 8)
#define ZERO_PAGE_WORD(low) (uint16_t)(ram[low] | ram[(uint8_t)((low) + 1)] << 8)

#define AT_ZERO_PAGE address = ram[next], pc = (uint16_t)(pc + 2)
#define AT_ZERO_PAGE_X address = ZERO_PAGE_ADDRESS(x), pc = (uint16_t)(pc + 2)
#define AT_ZERO_PAGE_Y address = ZERO_PAGE_ADDRESS(y), pc = (uint16_t)(pc + 2)
#define AT_ABSOLUTE address = WORD(next), pc = (uint16_t)(pc + 3)
#define AT_ABSOLUTE_X base = WORD(next), address = (uint16_t)(base + x), pc = (uint16_t)(pc + 3)
#define AT_ABSOLUTE_Y base = WORD(next), address = (uint16_t)(base + y), pc = (uint16_t)(pc + 3)
#define AT_INDIRECT_X base = ZERO_PAGE_ADDRESS(x), address = ZERO_PAGE_WORD(base), pc = (uint16_t)(pc + 2)
#define AT_INDIRECT_Y base = ram[next], base = ZERO_PAGE_WORD(base), address = (uint16_t)(base + y), pc = (uint16_t)(pc + 2)

#define CROSSING cycles += ((base ^ address) >> 8) != 0
#define LOAD m = read_slow[address >> 8] ? bus_read_slow(machine, address, cycles) : ram[address]

#define READ_IMMEDIATE m = ram[next], pc = (uint16_t)(pc + 2)
#define READ_ZERO_PAGE AT_ZERO_PAGE, m = ram[address]
#define READ_ZERO_PAGE_X AT_ZERO_PAGE_X, m = ram[address]
#define READ_ZERO_PAGE_Y AT_ZERO_PAGE_Y, m = ram[address]
#define READ_ABSOLUTE AT_ABSOLUTE, LOAD
#define READ_ABSOLUTE_X AT_ABSOLUTE_X, CROSSING, LOAD
#define READ_ABSOLUTE_Y AT_ABSOLUTE_Y, CROSSING, LOAD
#define READ_INDIRECT_X AT_INDIRECT_X, LOAD
#define READ_INDIRECT_Y AT_INDIRECT_Y, CROSSING, LOAD

#define PUSH(value) ram[STACK + s] = (uint8_t)(value), s = (uint8_t)(s - 1)
#define PULL (s = (uint8_t)(s + 1), ram[STACK + s])
#define STATUS \
    (uint8_t)(carry | (result & 0xff ? 0 : FLAG_Z) | flags | FLAG_UNUSED | (overflow ? FLAG_V : 0) | \
              (result & NEGATIVE ? FLAG_N : 0))
#define TAKE_STATUS(value) \
    carry = (value) & FLAG_C, flags = (value) & (FLAG_I | FLAG_D), overflow = (value) & FLAG_V, \
    result = ((value) & FLAG_Z ? 0 : 1) | ((value) & FLAG_N) << 8

#define READS(code, operation, mode, count) \
    case code: \
        cycles += count; \
        READ_##mode; \
        goto operation;
#define WRITES(code, from, mode, count) \
    case code: \
        cycles += count; \
        AT_##mode; \
        m = from; \
        goto store;
#define CHANGES(code, operation, mode, count) \
    case code: \
        cycles += count; \
        AT_##mode; \
        LOAD; \
        goto operation;
#define BRANCHES(code, condition) \
    case code: \
        if (condition) { \
            goto branch; \
        } \
        goto pass;
#define IMPLIED(code, count, what) \
    case code: \
        cycles += count; \
        pc = next; \
        what; \
        continue;

// Registers are locals, so that a compiler keeps them in its own. An operand's address is not checked where it lies
// behind the last page that can be executed. The branches of a case meet at labels: operations exist once.
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
        unsigned m, address, base;
        if (read_slow[pc >> 8]) {
            stop = bus_rom_visible(machine, (uint16_t)pc) ? AT_ROM : IN_IO;
            break;
        }
        unsigned next = (uint16_t)(pc + 1);
        instructions++;
        switch (ram[pc]) {
#include "opcodes.def"
            IMPLIED(0xea, 2, )
            IMPLIED(0x18, 2, carry = 0)
            IMPLIED(0x38, 2, carry = 1)
            IMPLIED(0x58, 2, flags &= ~(unsigned)FLAG_I)
            IMPLIED(0x78, 2, flags |= FLAG_I)
            IMPLIED(0xd8, 2, flags &= ~(unsigned)FLAG_D)
            IMPLIED(0xf8, 2, flags |= FLAG_D)
            IMPLIED(0xb8, 2, overflow = 0)
            IMPLIED(0xca, 2, result = x = (uint8_t)(x - 1))
            IMPLIED(0x88, 2, result = y = (uint8_t)(y - 1))
            IMPLIED(0xe8, 2, result = x = (uint8_t)(x + 1))
            IMPLIED(0xc8, 2, result = y = (uint8_t)(y + 1))
            IMPLIED(0xaa, 2, result = x = a)
            IMPLIED(0xa8, 2, result = y = a)
            IMPLIED(0x8a, 2, result = a = x)
            IMPLIED(0x98, 2, result = a = y)
            IMPLIED(0xba, 2, result = x = s)
            IMPLIED(0x9a, 2, s = x)
            IMPLIED(0x0a, 2, (carry = a >> 7, result = a = (uint8_t)(a << 1)))
            IMPLIED(0x4a, 2, (carry = a & 1, result = a = a >> 1))
            IMPLIED(0x2a, 2, (a = a << 1 | carry, carry = a >> 8, result = a = (uint8_t)a))
            IMPLIED(0x6a, 2, (a |= carry << 8, carry = a & 1, result = a = a >> 1))
            IMPLIED(0x48, 3, PUSH(a))
            IMPLIED(0x68, 4, result = a = PULL)
            IMPLIED(0x08, 3, PUSH(STATUS | FLAG_B))
            IMPLIED(0x28, 4, (m = PULL, TAKE_STATUS(m)))
        case 0x4c:
            cycles += 3;
            pc = WORD(next);
            continue;
        case 0x6c:  // the high byte of the pointer does not change: JMP ($12FF) reads $12FF and $1200
            cycles += 5;
            address = WORD(next);
            base = (address & 0xff00) | (uint8_t)(address + 1);
            LOAD;
            pc = m;
            address = base;
            LOAD;
            pc |= m << 8;
            continue;
        case 0x20:
            cycles += 6;
            address = (uint16_t)(pc + 2);
            m = ram[next];  // the second byte of the target is read when the stack is written
            PUSH(address >> 8);
            PUSH(address);
            pc = m | (unsigned)ram[address] << 8;
            continue;
        case 0x60:
            cycles += 6;
            pc = PULL;
            pc = (uint16_t)((pc | (unsigned)PULL << 8) + 1);
            continue;
        case 0x40:
            cycles += 6;
            m = PULL;
            TAKE_STATUS(m);
            pc = PULL;
            pc |= (unsigned)PULL << 8;
            continue;
        case 0x00:
            cycles += 7;
            next = (uint16_t)(pc + 2);
            PUSH(next >> 8);
            PUSH(next);
            PUSH(STATUS | FLAG_B);
            flags |= FLAG_I;
            pc = bus_read(machine, 0xfffe, cycles);
            pc |= (unsigned)bus_read(machine, 0xffff, cycles) << 8;
            continue;
        default:
            instructions--;
            stop = UNDOCUMENTED;
            goto stopped;
        }
    pass:
        cycles += 2;
        pc = (uint16_t)(pc + 2);
        continue;
    branch:
        next = (uint16_t)(pc + 2);
        pc = (uint16_t)(next + (int8_t)ram[(uint16_t)(pc + 1)]);
        cycles += ((pc ^ next) >> 8) ? 4 : 3;
        continue;
    ADC:
        if (flags & FLAG_D) {
            m = decimal_add(a, m, carry);
            goto take_decimal;
        }
        base = a + m + carry;
        overflow = ~(a ^ m) & (a ^ base) & 0x80;
        carry = base >> 8;
        result = a = (uint8_t)base;
        continue;
    SBC:
        if (flags & FLAG_D) {
            m = decimal_subtract(a, m, carry);
            goto take_decimal;
        }
        base = a + (m ^ 0xff) + carry;
        overflow = (a ^ m) & (a ^ base) & 0x80;
        carry = base >> 8;
        result = a = (uint8_t)base;
        continue;
    take_decimal:
        a = (uint8_t)m;
        carry = m >> 8 & 1;
        overflow = m & 0x200;
        result = m >> 16;
        continue;
    AND:
        result = a &= m;
        continue;
    ORA:
        result = a |= m;
        continue;
    EOR:
        result = a ^= m;
        continue;
    LDA:
        result = a = m;
        continue;
    LDX:
        result = x = m;
        continue;
    LDY:
        result = y = m;
        continue;
    BIT:
        result = (a & m) | (m & 0x80) << 8;
        overflow = m & 0x40;
        continue;
    CMP:
        carry = a >= m;
        result = (uint8_t)(a - m);
        continue;
    CPX:
        carry = x >= m;
        result = (uint8_t)(x - m);
        continue;
    CPY:
        carry = y >= m;
        result = (uint8_t)(y - m);
        continue;
    ASL:
        carry = m >> 7;
        m = result = (uint8_t)(m << 1);
        goto store;
    LSR:
        carry = m & 1;
        m = result = m >> 1;
        goto store;
    ROL:
        m = m << 1 | carry;
        carry = m >> 8;
        m = result = (uint8_t)m;
        goto store;
    ROR:
        m |= carry << 8;
        carry = m & 1;
        m = result = m >> 1;
        goto store;
    INC:
        m = result = (uint8_t)(m + 1);
        goto store;
    DEC:
        m = result = (uint8_t)(m - 1);
    store:
        if (address <= PORT || write_slow[address >> 8]) {
            cycles += bus_write_slow(machine, (uint16_t)address, (uint8_t)m, cycles);
        } else {
            ram[address] = (uint8_t)m;
        }
    }
stopped:
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
