// The doors of the reference library: the port's own functions, called from the host to compare or to time them.
#include "allocations.h"
#include "checkpoint.h"
#include "forward_cpu.h"
#include "halves.h"
#include "int8_products.h"
#include "kernels.h"
#include "maths.h"
#include "matmul.h"
#include "memory.h"
#include "platform_host.h"
#include "tokenizer.h"
#include "vector_exp.h"

#ifdef _WIN32
#define EXPORT __attribute__((dllexport))
#else
#define EXPORT __attribute__((visibility("default")))
#endif

int main(int argument_count, char **arguments);

// The whole program on the given machine: its exit status.
EXPORT int reference_main(const Host *host, int argument_count, char **arguments)
{
    host_use(host);
    return main(argument_count, arguments);
}

static Transformer transformer;

// Loads a checkpoint for reference_forward and reference_classify, with caches of floats (4 bytes) or halves (2): 1, or
// 0 after a message on the machine's standard error.
EXPORT int reference_load(const Host *host, const char *path, int vmx, int kv_bytes)
{
    host_use(host);
    transformer.kernel = vmx ? KERNEL_VMX : KERNEL_SCALAR;
    if (!checkpoint_load(&transformer, path)) {
        return 0;
    }
    transformer.config.kv_bytes = kv_bytes;
    return transformer_start(&transformer);
}

EXPORT int reference_vocab_size(void)
{
    return transformer.config.vocab_size;
}

// The most positions of a reference_forward.
EXPORT int reference_batch(void)
{
    return BATCH;
}

// The layers for tokens (positions) from pos on.
EXPORT void reference_forward(const int *tokens, int positions, int pos)
{
    forward_cpu(&transformer, tokens, positions, pos);
}

// The logits (vocab_size) after one of the tokens of the last reference_forward.
EXPORT const float *reference_classify(int wanted)
{
    return classify_cpu(&transformer, wanted);
}

static Tokenizer tokenizer;

// Loads a tokenizer for the functions below, with room for texts of so many bytes: the number of its tokens that
// count, or 0 after a message on the machine's standard error.
EXPORT int reference_tokenizer(const Host *host, const char *path, int vocab_size, int64_t bytes)
{
    host_use(host);
    int loaded = tokenizer_load(&tokenizer, path, (uint32_t)vocab_size) && tokenizer_make_room(&tokenizer, (uint64_t)bytes);
    return loaded ? (int)tokenizer.vocab_size : 0;
}

// The tokens of a text (length): their number, or -1 after a message.
EXPORT int64_t reference_encode(const char *text, int64_t length, int special, const int **tokens)
{
    int64_t n = tokenizer_encode(&tokenizer, text, (uint64_t)length, special);
    *tokens = tokenizer.tokens;
    return n;
}

// What token adds to a text after previous: its bytes' number. The bytes live until the next call.
EXPORT int64_t reference_decode(int previous, int token, const char **bytes)
{
    Piece piece = tokenizer_decode(&tokenizer, previous, token);
    *bytes = piece.bytes;
    return piece.length;
}

// out (positions, d) = w (d, n), of the type with this code, times each x (positions, n): 1, or 0 for another code.
// The planes of w lie as in the console's file.
EXPORT int reference_matmul(uint32_t code, float *out, const float *x, const void *w, int n, int d, int positions,
                            int vmx)
{
    const Tensor_Type *type = tensor_type(code);
    if (!type || !type->items) {
        return 0;
    }
    Matrix matrix = {type, w, d, n, type->items, code ? 15 : 0, 127};
    matmul(x, &(Projection){out, matrix}, 1, positions, vmx ? KERNEL_VMX : KERNEL_SCALAR);
    return 1;
}

// out (positions, d) = w (d, n) of int8 in groups times each x (positions, n), as int8 in such groups. room has words for
// (positions, n), scales for (n / group, BATCH).
EXPORT void reference_matmul_int8(float *out, const float *x, const void *w, int n, int d, int group, int positions,
                                  int vmx, float *room, float *scales)
{
    Matrix matrix = {&tensor_int8, w, d, n, group, 0, 0};
    matmul_int8(out, x, &matrix, positions, vmx ? KERNEL_VMX : KERNEL_SCALAR, (Int8_Room){room, scales});
}

// out (n) = x in half precision
EXPORT void reference_narrow(uint16_t *out, const float *x, int n)
{
    halves_narrow(out, x, n);
}

EXPORT const Kernels *reference_kernels(int vmx)
{
    return kernels_of(vmx ? KERNEL_VMX : KERNEL_SCALAR);
}

static float square_root(float x)
{
    return sqrtf(x);
}

static float first_of_vector_exp(float x)
{
    Exp_Constants c = exp_constants();
    return vector_lane(vector_exp(vector_of(x), &c), 0);
}

static float first_of_vector_exp2(float x)
{
    Exp_Constants c = exp_constants();
    return vector_lane(vector_exp2(vector_of(x), &c), 0);
}

static float first_of_vector_reciprocal(float x)
{
    return vector_lane(vector_reciprocal(vector_of(x), reciprocal_start(), vector_of(1.0f)), 0);
}

// out (n) = the function of this name of each x (n), and of each y (n) where it takes two: 1, or 0 for another name.
EXPORT int reference_maths(const char *name, const float *x, const float *y, float *out, int64_t n)
{
    static const struct {
        const char *name;
        float (*function)(float);
    } FUNCTIONS[] = {
        {"expf", expf},
        {"sinf", sinf},
        {"cosf", cosf},
        {"sqrtf", square_root},
        {"vector_exp", first_of_vector_exp},
        {"vector_exp2", first_of_vector_exp2},
        {"vector_reciprocal", first_of_vector_reciprocal},
    };
    if (strcmp(name, "powf") == 0) {
        for (int64_t i = 0; i < n; i++) {
            out[i] = powf(x[i], y[i]);
        }
        return 1;
    }
    for (int f = 0; f < (int)(sizeof FUNCTIONS / sizeof FUNCTIONS[0]); f++) {
        if (strcmp(name, FUNCTIONS[f].name) == 0) {
            for (int64_t i = 0; i < n; i++) {
                out[i] = FUNCTIONS[f].function(x[i]);
            }
            return 1;
        }
    }
    return 0;
}
