// The program: llama2.c's generate mode. A checkpoint, a tokenizer and a prompt in, a story out. Or a conversation.
#include "allocations.h"
#include "checkpoint.h"
#include "conversation.h"
#include "evaluate.h"
#include "inference.h"
#include "int8_products.h"
#include "memory.h"
#include "options.h"
#include "parallel.h"
#include "platform.h"
#include "story.h"
#include "text.h"

enum { DEFAULT_STEPS = 256, EXIT_FAILED = 1, EXIT_USAGE = 2 };

// The model's own context becomes the one asked for, and the caches hold what is asked for. The model's file says
// the own one, so this comes after loading.
static int cut_context(Config *config, const Options *o)
{
    if (o->context > (uint64_t)config->seq_len) {
        print(STANDARD_ERROR, "error: a context of %u, the model's context holds %d\n", o->context,
              (int64_t)config->seq_len);
        return 0;
    }
    if (o->context) {
        config->seq_len = (int)o->context;
    }
    config->kv_bytes = o->half_cache ? 2 : 4;
    return 1;
}

// 1, or 0 after a message.
static int choose_activations(Transformer *transformer, const Options *o)
{
    if (o->int8_activations && (o->gpu || !int8_products_take(&transformer->weights.wq))) {
        print(STANDARD_ERROR, "error: %s: int8 activations %s\n", o->checkpoint,
              o->gpu ? "are the CPU's: leave -g or -q out" : "need matrices of int8, which version 2 has");
        return 0;
    }
    transformer->config.int8_activations = o->int8_activations;
    return 1;
}

// The prompt where it is a file: 1, or 0 after a message.
static int read_prompt_file(Options *o)
{
    int64_t handle = platform_open(o->prompt_file);
    int64_t size = handle < 0 ? handle : platform_size(handle);
    if (size < 0) {
        print(STANDARD_ERROR, "error: %s: cannot be opened\n", o->prompt_file);
        return 0;
    }
    o->prompt_bytes = (uint64_t)size;
    if (size == 0) {
        return 1;
    }
    char *text = allocate(MEMORY_PROMPT_TEXT, (Extents){.prompt_file_bytes = o->prompt_bytes});
    o->prompt = text;
    if (!text || platform_read(handle, 0, text, o->prompt_bytes) < 0) {
        return refuse(o->prompt_file, 0, text ? "cannot be read" : "no memory is free for the prompt");
    }
    return 1;
}

// The prompt's tokens in tokenizer->tokens: their number, or -1 after a message.
static int64_t encode_prompt(Tokenizer *tokenizer, Options *o)
{
    if ((o->prompt_file && !read_prompt_file(o)) || !tokenizer_make_room(tokenizer, o->prompt_bytes)) {
        return -1;
    }
    return tokenizer_encode(tokenizer, o->prompt, o->prompt_bytes, o->special);
}

// Instead of a story: the prompt's tokens, by all that the tokenizer's file holds.
static int write_tokens(Options *o)
{
    Tokenizer tokenizer;
    int64_t n = tokenizer_load(&tokenizer, o->tokenizer, 0) ? encode_prompt(&tokenizer, o) : -1;
    print_numbers(STANDARD_OUTPUT, tokenizer.tokens, n);
    return n < 0 ? EXIT_FAILED : 0;
}

// Instead of a story: the tokens of a file.
static int evaluate(const Options *o, Inference *inference)
{
    Evaluation evaluation = {o->evaluated, inference};
    int done = o->write_tensors  ? evaluate_tensors(&evaluation)
               : o->write_logits ? evaluate_logits(&evaluation)
                                 : evaluate_tokens(&evaluation);
    return done ? 0 : EXIT_FAILED;
}

static int check_length(const Options *o, int64_t prompt_tokens, int seq_len)
{
    if (prompt_tokens > seq_len) {
        print(STANDARD_ERROR, "error: the prompt is %d tokens, the model's context holds %d\n", prompt_tokens,
              (int64_t)seq_len);
        return 0;
    }
    if (o->steps > (uint64_t)seq_len) {
        print(STANDARD_ERROR, "error: %u steps, the model's context holds %d\n", o->steps, (int64_t)seq_len);
        return 0;
    }
    return 1;
}

// The prompt's tokens in tokenizer->tokens, at least one: their number, or -1 after a message.
static int64_t prepare_prompt(Tokenizer *tokenizer, Options *o, int seq_len)
{
    int64_t n = encode_prompt(tokenizer, o);
    if (n == 0) {
        tokenizer->tokens[n++] = tokenizer_begin(tokenizer);
    }
    return n < 0 || check_length(o, n, seq_len) ? n : -1;
}

int main(int argument_count, char **arguments)
{
    Options options = {
        .tokenizer = "tokenizer.bin",
        .prompt = "",
        .how = {.temperature = 1.0f, .topp = 0.9f, .repeat_penalty = 1.0f},
        .seed = platform_nanoseconds() | 1,
        .steps = UINT64_MAX,
        .kernel = platform_has_vmx() ? KERNEL_VMX : KERNEL_SCALAR,
    };
    if (!options_parse(&options, argument_count, arguments)) {
        return EXIT_USAGE;
    }
    if (options.write_tokens) {
        return write_tokens(&options);
    }
    Transformer transformer = {.kernel = options.kernel};
    const Config *config = &transformer.config;
    Tokenizer tokenizer;
    Sampler sampler;
    if (!checkpoint_load(&transformer, options.checkpoint) || !cut_context(&transformer.config, &options) ||
        !choose_activations(&transformer, &options) ||
        !tokenizer_load(&tokenizer, options.tokenizer, (uint32_t)config->vocab_size)) {
        return EXIT_FAILED;
    }
    tokenizer.pieces.begin = config->no_begin_token ? -1 : config->begin_token;
    memcpy(tokenizer.pieces.ends, config->end_tokens, sizeof tokenizer.pieces.ends);
    tokenizer.pieces.space = !config->no_space_prefix;
    if (options.steps == UINT64_MAX) {
        options.steps = config->seq_len < DEFAULT_STEPS ? (uint64_t)config->seq_len : DEFAULT_STEPS;
    } else if (options.steps == 0) {
        options.steps = (uint64_t)config->seq_len;
    }
    Conversation conversation;
    int64_t prompt_tokens = 0;
    if (options.converse ? !conversation_start(&conversation, &tokenizer, config->seq_len)
                         : (prompt_tokens = prepare_prompt(&tokenizer, &options, config->seq_len)) < 0) {
        return EXIT_FAILED;
    }
    if (!transformer_start(&transformer) ||
        !sampler_start(&sampler, kernels_of(options.kernel), config->vocab_size, options.how, options.seed)) {
        print(STANDARD_ERROR, "error: %s: no memory is free for a context of %d tokens\n", options.checkpoint,
              (int64_t)config->seq_len);
        return EXIT_FAILED;
    }
    Forward_Gpu gpu;
    if (!options.gpu) {
        parallel_start();
    }
    if (options.gpu && !forward_gpu_start(&gpu, &transformer)) {
        return EXIT_FAILED;
    }
    Story story = {
        .inference = {&transformer, options.gpu ? &gpu : 0, &sampler, 0},
        .tokenizer = &tokenizer,
        .options = &options,
    };
    if (options.evaluated) {
        return evaluate(&options, &story.inference);
    }
    int done = options.converse ? conversation_serve(&conversation, &story.inference)
                                : story_tell(&story, tokenizer.tokens, (int)prompt_tokens);
    return done ? 0 : EXIT_FAILED;
}
