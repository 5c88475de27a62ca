// The kernels in plain C, in llama2.c's order of operations: the reference for ever.
#include <stdint.h>

#include "kernels.h"
#include "maths.h"
#include "memory.h"

static void rmsnorm_scalar(float *out, const float *x, const float *weight, int size, float epsilon)
{
    float ss = 0.0f;
    for (int j = 0; j < size; j++) {
        ss += x[j] * x[j];
    }
    ss /= (float)size;
    ss += epsilon;
    ss = 1.0f / sqrtf(ss);
    for (int j = 0; j < size; j++) {
        out[j] = weight[j] * (ss * x[j]);
    }
}

static void rope_scalar(float *x, const float *cosines, const float *sines, int heads, int head_size)
{
    for (int i = 0; i < heads * head_size; i += 2) {
        int pair = (i % head_size) / 2;
        float x0 = x[i], x1 = x[i + 1];
        x[i] = x0 * cosines[pair] - x1 * sines[pair];
        x[i + 1] = x0 * sines[pair] + x1 * cosines[pair];
    }
}

static void divide_scalar(float *x, float divisor, int size)
{
    for (int i = 0; i < size; i++) {
        x[i] /= divisor;
    }
}

static void softmax_scalar(float *x, int size)
{
    float max_val = x[0];
    for (int i = 1; i < size; i++) {
        if (x[i] > max_val) {
            max_val = x[i];
        }
    }
    float sum = 0.0f;
    for (int i = 0; i < size; i++) {
        x[i] = expf(x[i] - max_val);
        sum += x[i];
    }
    for (int i = 0; i < size; i++) {
        x[i] /= sum;
    }
}

static void attend_scalar(float *xb, float *att, const float *q, const float *keys, const float *values, int positions,
                          int head_size)
{
    for (int t = 0; t < positions; t++) {
        const float *k = keys + (int64_t)t * head_size;
        float score = 0.0f;
        for (int i = 0; i < head_size; i++) {
            score += q[i] * k[i];
        }
        att[t] = score / sqrtf((float)head_size);
    }
    softmax_scalar(att, positions);
    memset(xb, 0, (size_t)head_size * sizeof(float));
    for (int t = 0; t < positions; t++) {
        const float *v = values + (int64_t)t * head_size;
        for (int i = 0; i < head_size; i++) {
            xb[i] += att[t] * v[i];
        }
    }
}

static void swiglu_scalar(float *hb, const float *hb2, int size)
{
    for (int i = 0; i < size; i++) {
        float val = hb[i];
        val *= 1.0f / (1.0f + expf(-val));
        hb[i] = val * hb2[i];
    }
}

static void add_scalar(float *x, const float *y, int size)
{
    for (int i = 0; i < size; i++) {
        x[i] += y[i];
    }
}

static int argmax_scalar(const float *x, int size)
{
    int best = 0;
    for (int i = 1; i < size; i++) {
        if (x[i] > x[best]) {
            best = i;
        }
    }
    return best;
}

const Kernels kernels_scalar = {
    .rmsnorm = rmsnorm_scalar,
    .rope = rope_scalar,
    .divide = divide_scalar,
    .softmax = softmax_scalar,
    .attend = attend_scalar,
    .swiglu = swiglu_scalar,
    .add = add_scalar,
    .argmax = argmax_scalar,
};
