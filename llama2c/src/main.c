// The program: llama2.c's generate mode. A checkpoint, a tokenizer and a prompt in, a story out. Or a conversation.
#include "allocations.h"
#include "checkpoint.h"
#include "conversation.h"
#include "evaluate.h"
#include "figures.h"
#include "inference.h"
#include "int8_products.h"
#include "memory.h"
#include "parallel.h"
#include "platform.h"
#include "printer.h"
#include "text.h"

typedef struct {
    const char *checkpoint;
    const char *tokenizer;
    const char *prompt;
    uint64_t prompt_bytes;
    const char *prompt_file;  // instead of them
    Sampling how;
    uint64_t seed;
    uint64_t steps;  // 0: as many as the context holds
    uint64_t context;  // 0: the model's own
    uint64_t record;   // the descriptor that takes the figures; 0: none does
    Kernel kernel;
    int half_cache;
    int int8_activations;
    int write_logits;
    int ignore_end;
    int gpu;
    int special;
    int write_tokens;
    int write_tensors;
    const char *evaluated;  // a file of tokens to run instead of a story
    int converse;
    Stops stops;
} Options;

enum { DEFAULT_STEPS = 256, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const char USAGE[] =
    "usage: llama2 CHECKPOINT [-z TOKENIZER] [-i PROMPT | -f FILE] [-t TEMPERATURE] [-p TOP_P] [-s SEED] [-n STEPS]\n"
    "              [-c CONTEXT] [-k scalar|vmx] [-v f32|f16] [-q f32|int8] [-r DESCRIPTOR] [-m MIN_P] [-a PENALTY]\n"
    "              [-b STOP]... [-g] [-l] [-e] [-x] [-w] [-d] [-u FILE] [-y]\n"
    "  -z  tokenizer file (tokenizer.bin)      -i  the story's beginning\n"
    "  -t  0 or more, 0 is greedy (1.0)        -p  nucleus, 0 to 1 (0.9)\n"
    "  -s  seed, 1 or more (the clock)         -n  steps, 0 for the whole context (256)\n"
    "  -k  which matmul (vmx where there is)   -l  write each position's logits to standard output, no text\n"
    "  -c  keep keys and values for fewer positions    -e  go on where a story ends\n"
    "  -v  how keys and values are kept (f32)          -q  what int8 matrices are multiplied by (f32)\n"
    "  -r  write the run's figures as a record to this descriptor\n"
    "  -g  let the GPU compute                 -x  special tokens written in the prompt count as such\n"
    "  -f  a file that is the story's beginning        -b  end before this text\n"
    "  -m  pick no token less likely than this share of the likeliest, 0 to 1 (0)\n"
    "  -a  divide the logits of the last 64 tokens by this, 1 is none (1.0)\n"
    "  -d  a conversation: requests on standard input, records on standard output\n"
    "  -w  write the prompt's tokens, a number a line, and end; the checkpoint is not read\n"
    "  -u  run a file of tokens instead: a record of each one's likelihood, under -l the logits, under -y every tensor\n";

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
        return parse_range(value, 1e30, &o->how.temperature);
    case 'p':
        return parse_range(value, 1, &o->how.topp);
    case 'm':
        return parse_range(value, 1, &o->how.min_p);
    case 'a':
        return parse_range(value, 1e30, &o->how.repeat_penalty) && o->how.repeat_penalty > 0;
    case 'b':
        return stops_add(&o->stops, value, strlen(value));
    case 's':
        return parse_unsigned(value, &o->seed) && o->seed > 0;
    case 'n':
        return parse_unsigned(value, &o->steps);
    case 'c':
        return parse_unsigned(value, &o->context) && o->context > 0;
    case 'k':
        return parse_kernel(value, &o->kernel);
    case 'v':
        o->half_cache = strcmp(value, "f16") == 0;
        return o->half_cache || strcmp(value, "f32") == 0;
    case 'q':
        o->int8_activations = strcmp(value, "int8") == 0;
        return o->int8_activations || strcmp(value, "f32") == 0;
    case 'u':
        o->evaluated = value;
        return 1;
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
        } else if (strcmp(option, "-y") == 0) {
            o->write_tensors = 1;
        } else if (strcmp(option, "-d") == 0) {
            o->converse = 1;
        } else if (option[0] != '-' || !option[1] || option[2] || i + 1 >= count ||
                   !parse_option(o, option[1], arguments[++i])) {
            print(STANDARD_ERROR, "error: %s %s: not understood\n", option, i < count ? arguments[i] : "");
            return 0;
        }
    }
    return 1;
}

typedef struct {
    Inference inference;
    const Tokenizer *tokenizer;
    Options *options;
    Printer printer;
    Figures figures;
} Story;

// The logits of a position of the last pass, under -l written as well; NULL when the GPU does not answer.
static float *logits_of(Story *story, int position)
{
    float *logits = inference_logits(&story->inference, position);
    if (logits && story->options->write_logits) {
        uint64_t vocab_size = (uint64_t)story->inference.transformer->config.vocab_size;
        platform_write(STANDARD_OUTPUT, logits, vocab_size * sizeof(float));
    }
    return logits;
}

// Whether next parts this story from another.
static int ends(const Story *story, int next)
{
    return tokenizer_ends(story->tokenizer, next) && !story->options->ignore_end;
}

static void print_token(Story *story, int token, int next)
{
    if (!story->options->write_logits) {
        printer_print(&story->printer, story->tokenizer, token, next);
    }
}

// Reads the prompt (known), as far as there are steps, in batches: the first takes what whole ones leave over. Its text
// is printed ahead of each pass. The logits after its last token result, or NULL when the GPU does not answer.
static float *read_prompt(Story *story, const int *prompt, int known)
{
    Figures *figures = &story->figures;
    int tokens = known < (int)story->options->steps ? known : (int)story->options->steps;
    float *logits = 0;
    uint64_t start = platform_nanoseconds();
    for (int positions = (tokens - 1) % BATCH + 1; story->inference.pos < tokens; positions = BATCH) {
        int first = story->inference.pos;
        for (int i = first; i < first + positions && i + 1 < known; i++) {
            print_token(story, prompt[i], prompt[i + 1]);
        }
        if (!inference_pass(&story->inference, prompt + first, positions)) {
            return 0;
        }
        int unwanted = story->options->write_logits ? 0 : story->inference.pos < tokens ? positions : positions - 1;
        for (int i = unwanted; i < positions; i++) {
            logits = logits_of(story, i);
            if (!logits) {
                return 0;
            }
        }
        if (first == 0) {
            figures->first_tokens = (uint64_t)positions;
            figures->first_nanoseconds = platform_nanoseconds() - start;
        }
    }
    figures->prompt_tokens = (uint64_t)tokens;
    figures->prompt_nanoseconds = platform_nanoseconds() - start;
    return logits;
}

// Goes on after token, by its logits, with what the sampler picks, and prints each as it comes; ends at a token that
// parts two stories, or before a stop string. 1, or 0 when the GPU does not answer.
static int generate(Story *story, int token, float *logits)
{
    Figures *figures = &story->figures;
    uint64_t start = 0;  // of the first step
    int next;
    story->printer.stops = story->options->stops.count ? &story->options->stops : 0;
    while ((next = inference_pick(&story->inference, logits)) >= 0 && !ends(story, next)) {
        print_token(story, token, next);
        if (story->options->stops.stopped) {
            break;
        }
        token = next;
        sampler_accept(story->inference.sampler, token);
        if (story->inference.pos == (int)story->options->steps) {
            break;
        }
        start = start ? start : platform_nanoseconds();
        logits = inference_pass(&story->inference, &token, 1) ? logits_of(story, 0) : 0;
        if (!logits) {
            return 0;
        }
        figures->tokens++;
    }
    figures->nanoseconds = start ? platform_nanoseconds() - start : 0;
    return next >= 0;
}

// The prompt, then the story that follows it. 1, or 0 when the GPU does not answer.
static int tell(Story *story, const int *prompt, int prompt_tokens)
{
    const Options *options = story->options;
    // Byte-level BPE shows the first token, where llama2.c has BOS; its end tokens part the turns of a prompt.
    int byte_pairs = story->tokenizer->kind == TOKENIZER_BYTE_PAIRS;
    int known = byte_pairs ? prompt_tokens : 1;  // tokens before the end, which a prompt may hold
    while (known < prompt_tokens && !ends(story, prompt[known])) {
        known++;
    }
    if (byte_pairs) {
        print_token(story, prompt[0], prompt[0]);
    }
    float *logits = read_prompt(story, prompt, known);
    if (!logits) {
        return 0;
    }
    sampler_forget(story->inference.sampler, prompt, known);
    if (known == prompt_tokens && story->inference.pos == prompt_tokens && !generate(story, prompt[known - 1], logits)) {
        return 0;
    }
    if (!options->write_logits) {
        printer_end(&story->printer);
        platform_write(STANDARD_OUTPUT, "\n", 1);
    }
    if (story->inference.pos > 1) {
        figures_print(&story->figures);
    }
    if (options->record) {
        figures_write(&story->figures, (int)options->record);
    }
    return 1;
}

// The model's own context becomes the one asked for, and the caches hold what is asked for; its file says the own one, so this comes after loading.
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
                                : tell(&story, tokenizer.tokens, (int)prompt_tokens);
    return done ? 0 : EXIT_FAILED;
}
