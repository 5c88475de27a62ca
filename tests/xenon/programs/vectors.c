// Vectors in the program, none in the C library that it prints with.
#include <altivec.h>
#include <stdio.h>

int main(void)
{
    vector float x = {1, 2, 3, 4}, y = {5, 6, 7, 8};
    float sums[4] __attribute__((aligned(16)));
    vec_st(vec_add(x, y), 0, sums);
    printf("%.5f %llu %a %g %g %g %g\n", 3.14159265, 12345678901234567890ULL, 3.0, sums[0], sums[1], sums[2], sums[3]);
    return 0;
}
