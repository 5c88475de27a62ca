// Runs the vector kernels on a file of floats: the console's answers, for comparison with the host's.
// The file: x, y, z, FLOATS floats each. Every kernel starts from these; what it computes is written.
#include "kernels.h"
#include "memory.h"
#include "platform.h"

enum { FLOATS = 8192, POSITIONS = 61 };

static float *copied(float *to, const float *from)
{
    memcpy(to, from, FLOATS * sizeof(float));
    return to;
}

static void write_floats(const float *values, int n)
{
    platform_write(STANDARD_OUTPUT, values, (uint64_t)n * sizeof(float));
}

int main(int argument_count, char **arguments)
{
    enum { BYTES = 3 * FLOATS * sizeof(float) };
    static const int SIZES[] = {4, 16, 20, 64, 172, 512, FLOATS}, HEAD_SIZES[] = {4, 8, 12, 16, 24, 28, 48, 64, 128};
    const Kernels *k = &kernels_vmx;
    int64_t handle = argument_count == 2 ? platform_open(arguments[1]) : -1;
    float *x = platform_allocate("input", BYTES), *out = platform_allocate("output", BYTES);
    if (handle < 0 || !x || !out || platform_read(handle, 0, x, BYTES) < 0) {
        return 1;
    }
    const float *y = x + FLOATS, *z = y + FLOATS;
    float *att = out + FLOATS;
    for (unsigned i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        int n = SIZES[i];
        k->rmsnorm(out, x, y, n, 1e-5f);
        write_floats(out, n);
        k->divide(copied(out, x), 0.7f, n);
        write_floats(out, n);
        k->softmax(copied(out, x), n);
        write_floats(out, n);
        k->swiglu(copied(out, x), y, n);
        write_floats(out, n);
        k->add(copied(out, x), y, n);
        write_floats(out, n);
        out[0] = (float)k->argmax(x, n);
        write_floats(out, 1);
    }
    for (unsigned i = 0; i < sizeof HEAD_SIZES / sizeof HEAD_SIZES[0]; i++) {
        int head_size = HEAD_SIZES[i];
        k->rope(copied(out, x), y, z, FLOATS / head_size, head_size);
        write_floats(out, FLOATS / head_size * head_size);
        for (int positions = 1; positions <= POSITIONS; positions += positions < 8 ? 1 : 17) {
            k->attend(out, att, x, y, z, positions, head_size, head_size);
            write_floats(out, head_size);
        }
    }
    return 0;
}
