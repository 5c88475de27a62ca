// A loop around a switch, which compilers make a jump table of. Argument: rounds.
#include <stdio.h>
#include <stdlib.h>

#define CASE(n) case n: a = (a ^ (n * 2654435761u)) + i; break;
#define FOUR(n) CASE(n) CASE(n + 1) CASE(n + 2) CASE(n + 3)

static __attribute__((noinline)) unsigned long run(unsigned long rounds)
{
    unsigned long a = 1;
    for (unsigned long i = 0; i < rounds; i++) {
        switch ((a >> 3 ^ i) & 127) {
        FOUR(0) FOUR(4) FOUR(8) FOUR(12) FOUR(16) FOUR(20) FOUR(24) FOUR(28)
        FOUR(32) FOUR(36) FOUR(40) FOUR(44) FOUR(48) FOUR(52) FOUR(56) FOUR(60)
        case 64: a = a * 3 + 1; break;
        case 65: a -= 7; break;
        case 66: a = ~a; break;
        case 67: a >>= 1; break;
        case 68: a <<= 1; break;
        FOUR(69) FOUR(73) FOUR(77) FOUR(81) FOUR(85) FOUR(89)
        default: a += i & 15; break;
        }
    }
    return a;
}

int main(int argc, char **argv)
{
    printf("%lu\n", run(argc > 1 ? strtoul(argv[1], NULL, 0) : 1000));
    return 0;
}
