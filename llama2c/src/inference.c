// The forward pass and the sampler together, whoever computes.
#include "inference.h"

#include "forward_cpu.h"

int inference_pass(Inference *inference, const int *tokens, int positions)
{
    int answered = 1;
    if (inference->gpu) {
        answered = forward_gpu(inference->gpu, tokens, positions, inference->pos);
    } else {
        forward_cpu(inference->transformer, tokens, positions, inference->pos);
    }
    inference->pos += positions;
    return answered;
}

float *inference_logits(const Inference *inference, int position)
{
    return inference->gpu ? classify_gpu(inference->gpu, position) : classify_cpu(inference->transformer, position);
}

int inference_pick(const Inference *inference, float *logits)
{
    Sampler *sampler = inference->sampler;
    // The GPU has logits of its own, without the penalty.
    if (!inference->gpu || sampler->how.repeat_penalty != 1.0f) {
        return sampler_sample(sampler, logits);
    }
    if (sampler->how.temperature == 0.0f) {
        return forward_gpu_argmax(inference->gpu);
    }
    const float *probabilities = forward_gpu_softmax(inference->gpu, sampler->how.temperature);
    return probabilities ? sampler_pick(sampler, probabilities) : -1;
}
