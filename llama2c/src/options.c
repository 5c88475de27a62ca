#include "options.h"

#include "memory.h"
#include "platform.h"
#include "text.h"

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

int options_parse(Options *options, int count, char **arguments)
{
    int understood = parse_options(options, count, arguments);
    if (!understood) {
        platform_write(STANDARD_ERROR, USAGE, sizeof USAGE - 1);
    }
    return understood;
}
