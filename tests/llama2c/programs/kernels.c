// Runs the vector kernels on a file of floats: the console's answers, for comparison with the host's.
// The file: x, y, z, FLOATS floats each. Every kernel starts from these; what it computes is written.
#include "kernels.h"
#include "memory.h"
#include "platform.h"
#include "tensor_types.h"

enum { FLOATS = 8192, POSITIONS = 61 };
enum { STARTS = 5, LEAST_ROWS = 8, MOST_ROWS = 23, PLACES = 2 };  // of products; what is left of fours is 0 to 7 rows

static float *copied(float *to, const float *from)
{
    memcpy(to, from, FLOATS * sizeof(float));
    return to;
}

static void write_floats(const float *values, int n)
{
    platform_write(STANDARD_OUTPUT, values, (uint64_t)n * sizeof(float));
}

// The rows from any one on, of a matrix in x and y, times z, to places that are multiples of 16 bytes and others.
static void write_products(float *out, const float *x, const float *z, int n)
{
    Matrix w = {&tensor_fp32, x, STARTS + MOST_ROWS, n, 1, 0, 0};
    for (int start = 0; start < STARTS; start++) {
        for (int rows = LEAST_ROWS; rows <= MOST_ROWS; rows++) {
            for (int place = 0; place < PLACES; place++) {
                Product product = {out + place, z, w, 1};
                out[place + start + rows] = (float)rows;
                tensor_fp32.rows[KERNEL_VMX](&product, start, start + rows);
                write_floats(out + place + start, rows + 1);
            }
        }
    }
}

int main(int argument_count, char **arguments)
{
    enum { BYTES = 3 * FLOATS * sizeof(float) };
    static const int SIZES[] = {4, 16, 20, 64, 172, 512, FLOATS}, WIDTHS[] = {64, 192, 196, 512};
    static const int HEAD_SIZES[] = {4, 8, 12, 16, 24, 28, 32, 48, 64, 100, 112, 128};
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
            k->attend(out, att, x, y, z, positions, head_size);
            write_floats(out, head_size);
        }
    }
    for (unsigned i = 0; i < sizeof WIDTHS / sizeof WIDTHS[0]; i++) {
        write_products(out, x, z, WIDTHS[i]);
    }
    return 0;
}
