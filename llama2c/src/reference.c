// The doors of the reference library: the port's own functions, called from the host to compare or to time them.
#include "checkpoint.h"
#include "maths.h"
#include "platform_host.h"
#include "tokenizer.h"

#define EXPORT __attribute__((visibility("default")))

int main(int argument_count, char **arguments);

// The whole program on the given machine: its exit status.
EXPORT int reference_main(const Host *host, int argument_count, char **arguments)
{
    host_use(host);
    return main(argument_count, arguments);
}

static Transformer transformer;

// Loads a checkpoint for reference_forward: 1, or 0 after a message on the machine's standard error.
EXPORT int reference_load(const Host *host, const char *path, int vmx)
{
    host_use(host);
    transformer.kernel = vmx ? KERNEL_VMX : KERNEL_SCALAR;
    return checkpoint_load(&transformer, path) && transformer_start(&transformer);
}

EXPORT int reference_vocab_size(void)
{
    return transformer.config.vocab_size;
}

// The logits (vocab_size) after token at pos.
EXPORT const float *reference_forward(int token, int pos)
{
    return transformer_forward(&transformer, token, pos);
}

// The tokens of a text, up to most of them, in tokens: their number, or 0 after a message.
EXPORT int reference_encode(const Host *host, const char *path, int vocab_size, const char *text, int *tokens, int most)
{
    Tokenizer tokenizer;
    int *found;
    host_use(host);
    if (!tokenizer_load(&tokenizer, path, (uint32_t)vocab_size)) {
        return 0;
    }
    int n = tokenizer_encode(&tokenizer, text, &found);
    for (int i = 0; i < n && i < most; i++) {
        tokens[i] = found[i];
    }
    return n;
}

EXPORT void reference_matmul(float *out, const float *x, const float *w, int n, int d, int vmx)
{
    matmul(out, x, w, n, d, vmx ? KERNEL_VMX : KERNEL_SCALAR);
}

// out[i] = f(x[i]) or f(x[i], y[i]) for the function named by its first letter: expf, sinf, cosf, powf, or r for sqrtf.
EXPORT void reference_maths(char function, const float *x, const float *y, float *out, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        switch (function) {
        case 'e':
            out[i] = expf(x[i]);
            break;
        case 's':
            out[i] = sinf(x[i]);
            break;
        case 'c':
            out[i] = cosf(x[i]);
            break;
        case 'p':
            out[i] = powf(x[i], y[i]);
            break;
        default:
            out[i] = sqrtf(x[i]);
        }
    }
}
