// Matrix times vector, where a language model spends its time.
#ifndef MATMUL_H
#define MATMUL_H

typedef enum { KERNEL_SCALAR, KERNEL_VMX } Kernel;

// out (d) = w (d, n) x (n). The scalar kernel adds in llama2.c's order; the VMX kernel adds sixteen partial sums,
// and needs w and x aligned to 16 bytes and n a multiple of 4: where one fails, the scalar kernel runs.
void matmul(float *out, const float *x, const float *w, int n, int d, Kernel kernel);

#endif
