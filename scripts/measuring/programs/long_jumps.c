// Exceptions by setjmp and longjmp, out of some nested calls. Argument: rounds.
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

static jmp_buf handler;

static __attribute__((noinline)) long descend(long depth, long value)
{
    if (depth == 0) {
        if (value % 3 == 0)
            longjmp(handler, (int)(value & 1023) + 1);
        return value;
    }
    return descend(depth - 1, value + depth) ^ depth;
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 10;
    static unsigned long sum;
    static volatile unsigned long round;
    for (round = 0; round < rounds; round++) {
        int thrown = setjmp(handler);
        if (thrown)
            sum = sum * 31 + (unsigned long)thrown;
        else
            sum += (unsigned long)descend(8, (long)round);
    }
    printf("%lu\n", sum);
    return 0;
}
