// Runs the port's maths and matmul on a file of floats: the console's answers, for comparison with the host's.
// The file: int32 n; x (n) for expf, sinf, cosf and sqrtf; y (n) for powf; then w (rows, columns) and v (columns).
#include "allocations.h"
#include "maths.h"
#include "matmul.h"
#include "platform.h"

enum { ROWS = 16, COLUMNS = 64 };

static void write_floats(const float *values, int64_t n)
{
    platform_write(STANDARD_OUTPUT, values, (uint64_t)n * sizeof(float));
}

int main(int argument_count, char **arguments)
{
    if (argument_count != 2) {
        return 2;
    }
    int64_t handle = platform_open(arguments[1]);
    int64_t size = platform_size(handle);
    char *file = size < 0 ? 0 : platform_allocate("input", (uint64_t)size);
    float *out = size < 0 ? 0 : platform_allocate("output", (uint64_t)size);
    if (!file || !out || platform_read(handle, 0, file, (uint64_t)size) < 0) {
        return 1;
    }
    // Behind the header everything is aligned to 128 bytes: n is a multiple of 32.
    int32_t n = *(const int32_t *)(const void *)file;
    const float *x = (const float *)(const void *)(file + CACHE_LINE), *y = x + n, *w = y + n, *v = w + ROWS * COLUMNS;
    for (int i = 0; i < n; i++) {
        out[i] = expf(x[i]);
    }
    write_floats(out, n);
    for (int i = 0; i < n; i++) {
        out[i] = sinf(x[i]);
    }
    write_floats(out, n);
    for (int i = 0; i < n; i++) {
        out[i] = cosf(x[i]);
    }
    write_floats(out, n);
    for (int i = 0; i < n; i++) {
        out[i] = sqrtf(x[i]);
    }
    write_floats(out, n);
    for (int i = 0; i < n; i++) {
        out[i] = powf(x[i], y[i]);
    }
    write_floats(out, n);
    Matrix matrix = {&tensor_fp32, w, ROWS, COLUMNS, 1, 0, 0};
    Projection projection = {out, matrix};
    matmul(v, &projection, 1, 1, KERNEL_SCALAR);
    write_floats(out, ROWS);
    matmul(v, &projection, 1, 1, KERNEL_VMX);
    write_floats(out, ROWS);
    return 0;
}
