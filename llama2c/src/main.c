// The program: llama2.c's generate mode. A checkpoint, a tokenizer and a prompt in, a story out.
#include "allocations.h"
#include "checkpoint.h"
#include "figures.h"
#include "forward_cpu.h"
#include "forward_gpu.h"
#include "memory.h"
#include "parallel.h"
#include "platform.h"
#include "printer.h"
#include "sampler.h"
#include "text.h"
#include "tokenizer.h"

typedef struct {
    const char *checkpoint;
    const char *tokenizer;
    const char *prompt;
    uint64_t prompt_bytes;
    const char *prompt_file;  // instead of them
    float temperature;
    float topp;
    uint64_t seed;
    uint64_t steps;  // 0: as many as the context holds
    uint64_t context;  // 0: the model's own
    uint64_t record;   // the descriptor that takes the figures; 0: none does
    Kernel kernel;
    int write_logits;
    int ignore_end;
    int gpu;
    int special;
    int write_tokens;
} Options;

enum { DEFAULT_STEPS = 256, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const char USAGE[] =
    "usage: llama2 CHECKPOINT [-z TOKENIZER] [-i PROMPT | -f FILE] [-t TEMPERATURE] [-p TOP_P] [-s SEED] [-n STEPS]\n"
    "              [-c CONTEXT] [-k scalar|vmx] [-r DESCRIPTOR] [-g] [-l] [-e] [-x] [-w]\n"
    "  -z  tokenizer file (tokenizer.bin)      -i  the story's beginning\n"
    "  -t  0 or more, 0 is greedy (1.0)        -p  nucleus, 0 to 1 (0.9)\n"
    "  -s  seed, 1 or more (the clock)         -n  steps, 0 for the whole context (256)\n"
    "  -k  which matmul (vmx where there is)   -l  write each position's logits to standard output, no text\n"
    "  -c  keep keys and values for fewer positions    -e  go on where a story ends\n"
    "  -r  write the run's figures as a record to this descriptor\n"
    "  -g  let the GPU compute                 -x  special tokens written in the prompt count as such\n"
    "  -f  a file that is the story's beginning\n"
    "  -w  write the prompt's tokens, a number a line, and end; the checkpoint is not read\n";

static int parse_range(const char *text, double most, float *value)
{
    double parsed;
    if (!parse_decimal(text, &parsed) || !(parsed >= 0 && parsed <= most)) {
        return 0;
    }
    *value = (float)parsed;
    return 1;
}

static int parse_kernel(const char *text, Kernel *kernel)
{
    *kernel = strcmp(text, "vmx") == 0 ? KERNEL_VMX : KERNEL_SCALAR;
    return *kernel == KERNEL_VMX || strcmp(text, "scalar") == 0;
}

static int parse_option(Options *o, char letter, const char *value)
{
    switch (letter) {
    case 'z':
        o->tokenizer = value;
        return 1;
    case 'i':
        o->prompt = value;
        o->prompt_bytes = strlen(value);
        return 1;
    case 'f':
        o->prompt_file = value;
        return 1;
    case 't':
        return parse_range(value, 1e30, &o->temperature);
    case 'p':
        return parse_range(value, 1, &o->topp);
    case 's':
        return parse_unsigned(value, &o->seed) && o->seed > 0;
    case 'n':
        return parse_unsigned(value, &o->steps);
    case 'c':
        return parse_unsigned(value, &o->context) && o->context > 0;
    case 'k':
        return parse_kernel(value, &o->kernel);
    case 'r':
        return parse_unsigned(value, &o->record) && o->record > STANDARD_ERROR && o->record <= INT32_MAX;
    default:
        return 0;
    }
}

static int parse_options(Options *o, int count, char **arguments)
{
    if (count < 2) {
        return 0;
    }
    o->checkpoint = arguments[1];
    for (int i = 2; i < count; i++) {
        const char *option = arguments[i];
        if (strcmp(option, "-l") == 0) {
            o->write_logits = 1;
        } else if (strcmp(option, "-e") == 0) {
            o->ignore_end = 1;
        } else if (strcmp(option, "-g") == 0) {
            o->gpu = 1;
        } else if (strcmp(option, "-x") == 0) {
            o->special = 1;
        } else if (strcmp(option, "-w") == 0) {
            o->write_tokens = 1;
        } else if (option[0] != '-' || !option[1] || option[2] || i + 1 >= count ||
                   !parse_option(o, option[1], arguments[++i])) {
            print(STANDARD_ERROR, "error: %s %s: not understood\n", option, i < count ? arguments[i] : "");
            return 0;
        }
    }
    return 1;
}

// The next token by the last logits, of which the GPU has its own; -1 when the GPU does not answer.
static int pick(Forward_Gpu *gpu, Sampler *sampler, float *logits)
{
    if (!gpu) {
        return sampler_sample(sampler, logits);
    }
    if (sampler->temperature == 0.0f) {
        return forward_gpu_argmax(gpu);
    }
    const float *probabilities = forward_gpu_softmax(gpu, sampler->temperature);
    return probabilities ? sampler_pick(sampler, probabilities) : -1;
}

// Feeds the prompt, then what the sampler picks, and prints each as it comes; ends at a token that parts two stories.
// Without a GPU the CPU computes. 1, or 0 when the GPU does not answer.
static int generate(Transformer *transformer, Forward_Gpu *gpu, const Tokenizer *tokenizer, Sampler *sampler,
                    const int *prompt, int prompt_tokens, const Options *options)
{
    int token = prompt[0], pos = 0;
    Printer printer = {.count = 0};
    if (tokenizer->kind == TOKENIZER_BYTE_PAIRS && !options->write_logits) {
        printer_print(&printer, tokenizer, token, token);  // is text, where llama2.c's first token is BOS
    }
    uint64_t start = 0;  // set after the first step, whose time is spent on first touches
    while (pos < (int)options->steps) {
        float *logits = gpu ? forward_gpu(gpu, transformer, token, pos) : forward_cpu(transformer, token, pos);
        if (!logits) {
            return 0;
        }
        if (options->write_logits) {
            platform_write(STANDARD_OUTPUT, logits, (uint64_t)transformer->config.vocab_size * sizeof(float));
        }
        pos++;
        int next = pos < prompt_tokens ? prompt[pos] : pick(gpu, sampler, logits);
        if (next < 0) {
            return 0;
        }
        if (tokenizer_ends(tokenizer, next) && !options->ignore_end) {
            break;
        }
        if (!options->write_logits) {
            printer_print(&printer, tokenizer, token, next);
        }
        token = next;
        if (start == 0) {
            start = platform_nanoseconds();
        }
    }
    if (!options->write_logits) {
        printer_end(&printer);
        platform_write(STANDARD_OUTPUT, "\n", 1);
    }
    Figures figures = {.prompt_tokens = (uint64_t)prompt_tokens};
    if (pos > 1) {
        figures.tokens = (uint64_t)(pos - 1);
        figures.nanoseconds = platform_nanoseconds() - start;
        figures_print(&figures);
    }
    if (options->record) {
        figures_write(&figures, (int)options->record);
    }
    return 1;
}

// The model's own context becomes the one asked for; its file says the own one, so this comes after loading.
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
    return 1;
}

// The prompt where it is a file: 1, or 0 after a message.
static int read_prompt(Options *o)
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
    if ((o->prompt_file && !read_prompt(o)) || !tokenizer_make_room(tokenizer, o->prompt_bytes)) {
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

int main(int argument_count, char **arguments)
{
    Options options = {
        .tokenizer = "tokenizer.bin",
        .prompt = "",
        .temperature = 1.0f,
        .topp = 0.9f,
        .seed = platform_nanoseconds() | 1,
        .steps = UINT64_MAX,
        .kernel = platform_has_vmx() ? KERNEL_VMX : KERNEL_SCALAR,
    };
    if (!parse_options(&options, argument_count, arguments)) {
        platform_write(STANDARD_ERROR, USAGE, sizeof USAGE - 1);
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
        !tokenizer_load(&tokenizer, options.tokenizer, (uint32_t)config->vocab_size)) {
        return EXIT_FAILED;
    }
    if (options.steps == UINT64_MAX) {
        options.steps = config->seq_len < DEFAULT_STEPS ? (uint64_t)config->seq_len : DEFAULT_STEPS;
    } else if (options.steps == 0) {
        options.steps = (uint64_t)config->seq_len;
    }
    int64_t prompt_tokens = encode_prompt(&tokenizer, &options);
    if (prompt_tokens == 0) {
        tokenizer.tokens[prompt_tokens++] = tokenizer_begin(&tokenizer);
    }
    if (prompt_tokens < 0 || !check_length(&options, prompt_tokens, config->seq_len)) {
        return EXIT_FAILED;
    }
    if (!transformer_start(&transformer) ||
        !sampler_start(&sampler, kernels_of(options.kernel), config->vocab_size, options.temperature, options.topp,
                       options.seed)) {
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
    int told = generate(&transformer, options.gpu ? &gpu : 0, &tokenizer, &sampler, tokenizer.tokens, (int)prompt_tokens,
                        &options);
    return told ? 0 : EXIT_FAILED;
}
