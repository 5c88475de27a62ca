// A byte-code interpreter that counts primes with a sieve in its own memory. Argument: rounds.
// With -DLABELS it jumps by labels' addresses, else by a switch.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { SET, MOVE, ADD, SUB, MUL, AND, OR, XOR, SHL, SHR, LOAD, STORE, JUMP, LESS, EQUAL, ZERO, INC, DEC, NOP, NEG,
       NOT, SWAP, CALL, RETURN, HALT, OPCODES };

typedef struct { uint8_t op, a, b, c; } Code;

static uint8_t memory[8192];

// r0 = i, r1 = j, r2 = limit, r3 = primes, r4 = 1, r5 = value, r6 = zero
static const Code program[] = {
    {SET, 0, 0, 0},        // 0: i = 0
    {STORE, 0, 4, 0},      // 1: memory[i] = 1
    {INC, 0, 0, 0},        // 2
    {LESS, 0, 2, 1},       // 3: if i < limit go to 1
    {SET, 3, 0, 0},        // 4: primes = 0
    {SET, 0, 2, 0},        // 5: i = 2
    {LOAD, 5, 0, 0},       // 6: value = memory[i]
    {ZERO, 5, 0, 13},      // 7: if it is 0 go to 13
    {CALL, 0, 0, 17},      // 8: clear the multiples
    {INC, 3, 0, 0},        // 9: primes++
    {NOP, 0, 0, 0},        // 10
    {XOR, 7, 7, 3},        // 11
    {ADD, 7, 7, 0},        // 12
    {INC, 0, 0, 0},        // 13: i++
    {LESS, 0, 2, 6},       // 14: if i < limit go to 6
    {MUL, 7, 7, 3},        // 15
    {HALT, 0, 0, 0},       // 16
    {ADD, 1, 0, 0},        // 17: j = i + i
    {JUMP, 0, 0, 21},      // 18
    {STORE, 1, 6, 0},      // 19: memory[j] = 0
    {ADD, 1, 1, 0},        // 20: j += i
    {LESS, 1, 2, 19},      // 21: if j < limit go to 19
    {RETURN, 0, 0, 0},     // 22
};

static __attribute__((noinline)) uint64_t run(uint64_t *r)
{
    unsigned pc = 0, link = 0;
    Code code;
#ifdef LABELS
    static const void *const to[] = {&&l_SET, &&l_MOVE, &&l_ADD, &&l_SUB, &&l_MUL, &&l_AND, &&l_OR, &&l_XOR, &&l_SHL,
        &&l_SHR, &&l_LOAD, &&l_STORE, &&l_JUMP, &&l_LESS, &&l_EQUAL, &&l_ZERO, &&l_INC, &&l_DEC, &&l_NOP, &&l_NEG,
        &&l_NOT, &&l_SWAP, &&l_CALL, &&l_RETURN, &&l_HALT};
#define NEXT do { code = program[pc++]; goto *to[code.op]; } while (0)
#define CASE(name) l_##name:
    NEXT;
#else
#define NEXT break
#define CASE(name) case name:
    for (;;) {
        code = program[pc++];
        switch (code.op) {
#endif
    CASE(SET) r[code.a] = code.b; NEXT;
    CASE(MOVE) r[code.a] = r[code.b]; NEXT;
    CASE(ADD) r[code.a] = r[code.b] + r[code.c]; NEXT;
    CASE(SUB) r[code.a] = r[code.b] - r[code.c]; NEXT;
    CASE(MUL) r[code.a] = r[code.b] * r[code.c]; NEXT;
    CASE(AND) r[code.a] = r[code.b] & r[code.c]; NEXT;
    CASE(OR) r[code.a] = r[code.b] | r[code.c]; NEXT;
    CASE(XOR) r[code.a] = r[code.b] ^ r[code.c]; NEXT;
    CASE(SHL) r[code.a] = r[code.b] << (r[code.c] & 63); NEXT;
    CASE(SHR) r[code.a] = r[code.b] >> (r[code.c] & 63); NEXT;
    CASE(LOAD) r[code.a] = memory[r[code.b] & 8191]; NEXT;
    CASE(STORE) memory[r[code.a] & 8191] = (uint8_t)r[code.b]; NEXT;
    CASE(JUMP) pc = code.c; NEXT;
    CASE(LESS) if (r[code.a] < r[code.b]) pc = code.c; NEXT;
    CASE(EQUAL) if (r[code.a] == r[code.b]) pc = code.c; NEXT;
    CASE(ZERO) if (r[code.a] == 0) pc = code.c; NEXT;
    CASE(INC) r[code.a]++; NEXT;
    CASE(DEC) r[code.a]--; NEXT;
    CASE(NOP) NEXT;
    CASE(NEG) r[code.a] = -r[code.b]; NEXT;
    CASE(NOT) r[code.a] = ~r[code.b]; NEXT;
    CASE(SWAP) { uint64_t kept = r[code.a]; r[code.a] = r[code.b]; r[code.b] = kept; } NEXT;
    CASE(CALL) link = pc; pc = code.c; NEXT;
    CASE(RETURN) pc = link; NEXT;
    CASE(HALT) return r[3] + r[7];
#ifndef LABELS
        default: return 0;
        }
    }
#endif
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 1;
    uint64_t sum = 0;
    for (unsigned long i = 0; i < rounds; i++) {
        uint64_t r[16] = {[2] = 8192 - i % 7, [4] = 1};
        sum = sum * 31 + run(r);
    }
    printf("%llu\n", (unsigned long long)sum);
    return 0;
}
