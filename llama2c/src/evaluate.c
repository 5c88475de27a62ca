// Runs given tokens: their log-likelihoods, logits or tensors are written, window by window.
#include "evaluate.h"

#include "allocations.h"
#include "forward_dump.h"
#include "kernels.h"
#include "maths.h"
#include "memory.h"
#include "platform.h"
#include "text.h"

typedef struct {
    int tokens;         // that it has
    int first;          // number of the first that is asked about
    const int *values;  // (tokens)
} Window;

// What is to be done with a window: 1, or 0 after a message.
typedef int Visit(const Evaluation *evaluation, const Window *window);

static uint32_t word_of(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void put_word(unsigned char *bytes, uint32_t word)
{
    for (int i = 0; i < 4; i++) {
        bytes[i] = (unsigned char)(word >> 8 * (3 - i));
    }
}

static int complain(const char *what)
{
    print(STANDARD_ERROR, "error: -u: %s\n", what);
    return 0;
}

// The words (n) of the file become numbers of this machine, where they are; 0 after a message.
static const int *read_words(const char *path, int64_t *n)
{
    int64_t handle = platform_open(path);
    int64_t size = handle < 0 ? handle : platform_size(handle);
    if (size < 0 || size % 4) {
        complain("the file of tokens cannot be opened, or has no whole words");
        return 0;
    }
    unsigned char *bytes = allocate(MEMORY_PROMPT_TEXT, (Extents){.prompt_file_bytes = (uint64_t)size});
    if (!bytes || (size && platform_read(handle, 0, bytes, (uint64_t)size) < 0)) {
        complain("the file of tokens cannot be read, or has no room");
        return 0;
    }
    int *words = (int *)(void *)bytes;
    *n = size / 4;
    for (int64_t i = 0; i < *n; i++) {
        words[i] = (int)word_of(bytes + 4 * i);
    }
    return words;
}

// Looks at every number before it is used.
static int next_window(const Config *config, const int *words, int64_t *at, int64_t n, Window *window)
{
    if (n - *at < 2) {
        return complain("a window of tokens is cut off");
    }
    window->tokens = words[*at];
    window->first = words[*at + 1];
    window->values = words + *at + 2;
    *at += 2;
    if (window->tokens < 1 || window->tokens > config->seq_len || window->tokens > n - *at) {
        return complain("a window has more tokens than the context or the file holds, or none");
    }
    if (window->first < 1 || window->first > window->tokens) {
        return complain("a window begins to ask before its first token or behind its last");
    }
    for (int i = 0; i < window->tokens; i++) {
        if (window->values[i] < 0 || window->values[i] >= config->vocab_size) {
            return complain("a token is not in the model's vocabulary");
        }
    }
    *at += window->tokens;
    return 1;
}

static int visit_windows(const Evaluation *evaluation, Visit *visit)
{
    int64_t n = 0, at = 0;
    const int *words = read_words(evaluation->path, &n);
    if (!words) {
        return 0;
    }
    while (at < n) {
        Window window;
        evaluation->inference->pos = 0;
        if (!next_window(&evaluation->inference->transformer->config, words, &at, n, &window) ||
            !visit(evaluation, &window)) {
            return 0;
        }
    }
    return 1;
}

// The natural logarithm of x > 0, normal: of its exponent and, by the series of artanh, of its fraction around 1.
static double logarithm(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffULL) | 0x3ff0000000000000ULL;
    double fraction;
    memcpy(&fraction, &bits, sizeof fraction);
    if (fraction > 1.4142135623730951) {
        fraction *= 0.5;
        exponent++;
    }
    double s = (fraction - 1.0) / (fraction + 1.0), square = s * s, sum = 0.0;
    for (int i = 23; i >= 1; i -= 2) {
        sum = sum * square + 1.0 / (double)i;
    }
    return (double)exponent * 0.6931471805599453 + 2.0 * s * sum;
}

// The record of a token by the logits before it, which become probabilities. The likeliest one's probability, which is
// never tiny, says what all exponentials sum up to. 0 when the GPU does not answer.
static int score(const Evaluation *evaluation, float *logits, int token, unsigned char *record)
{
    const Transformer *transformer = evaluation->inference->transformer;
    Forward_Gpu *gpu = evaluation->inference->gpu;
    const Kernels *kernels = kernels_of(transformer->kernel);
    int vocab_size = transformer->config.vocab_size;
    int likeliest = gpu ? forward_gpu_argmax(gpu) : kernels->argmax(logits, vocab_size);
    if (likeliest < 0) {
        return 0;
    }
    double below = (double)logits[token] - (double)logits[likeliest];
    const float *probabilities = logits;
    if (gpu) {
        probabilities = forward_gpu_softmax(gpu, 1.0f);
    } else {
        kernels->softmax(logits, vocab_size);
    }
    if (!probabilities) {
        return 0;
    }
    double value = below + logarithm((double)probabilities[likeliest]);
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_word(record, (uint32_t)token);
    put_word(record + 4, (uint32_t)likeliest);
    put_word(record + 8, (uint32_t)(bits >> 32));
    put_word(record + 12, (uint32_t)bits);
    return 1;
}

static int score_window(const Evaluation *evaluation, const Window *window)
{
    int last = window->tokens - 1;  // nothing is asked about what follows it
    for (int pos = 0; pos < last; pos += BATCH) {
        int positions = last - pos < BATCH ? last - pos : BATCH;
        unsigned char records[BATCH * SCORE_BYTES];
        uint64_t bytes = 0;
        if (!inference_pass(evaluation->inference, window->values + pos, positions)) {
            return 0;
        }
        for (int i = 0; i < positions; i++) {
            if (pos + i + 1 < window->first) {
                continue;
            }
            float *logits = inference_logits(evaluation->inference, i);
            if (!logits || !score(evaluation, logits, window->values[pos + i + 1], records + bytes)) {
                return 0;
            }
            bytes += SCORE_BYTES;
        }
        if (bytes) {
            platform_write(STANDARD_OUTPUT, records, bytes);
        }
    }
    return 1;
}

static int write_logits_of_window(const Evaluation *evaluation, const Window *window)
{
    uint64_t bytes = (uint64_t)evaluation->inference->transformer->config.vocab_size * sizeof(float);
    for (int pos = 0; pos < window->tokens; pos += BATCH) {
        int positions = window->tokens - pos < BATCH ? window->tokens - pos : BATCH;
        if (!inference_pass(evaluation->inference, window->values + pos, positions)) {
            return 0;
        }
        for (int i = 0; i < positions; i++) {
            if (pos + i + 1 < window->first) {
                continue;
            }
            const float *logits = inference_logits(evaluation->inference, i);
            if (!logits) {
                return 0;
            }
            platform_write(STANDARD_OUTPUT, logits, bytes);
        }
    }
    return 1;
}

static int dump_window(const Evaluation *evaluation, const Window *window)
{
    for (int pos = 0; pos < window->tokens; pos++) {
        forward_dump(evaluation->inference->transformer, window->values[pos], pos);
    }
    return 1;
}

int evaluate_tokens(const Evaluation *evaluation)
{
    return visit_windows(evaluation, score_window);
}

int evaluate_logits(const Evaluation *evaluation)
{
    return visit_windows(evaluation, write_logits_of_window);
}

int evaluate_tensors(const Evaluation *evaluation)
{
    return evaluation->inference->gpu ? complain("tensors are written by the CPU, not by the GPU")
                                      : visit_windows(evaluation, dump_window);
}
