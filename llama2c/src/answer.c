// Generates in a conversation: reads the tokens that wait, then picks one after the other until something ends it.
#include "answer.h"

#include "memory.h"
#include "platform.h"
#include "printer.h"
#include "records.h"

enum { GENERATE_IGNORE_END = 1, GENERATE_STORY = 2, GENERATE_FLAGS = 3, GENERATION_BYTES = 40, MOST_MORE_ENDS = 16 };
enum { LOOK_NANOSECONDS = 20000000, MOST_BETWEEN_LOOKS = 64 };  // at standard input; less than a person notices
static const float MOST_FACTOR = 1e30f;

typedef enum { END_TOKEN = 1, END_STOP = 2, END_COUNT = 3, END_INPUT = 4, END_CONTEXT = 5 } End;

// The options of a request to generate: words most, flags, temperature, topp, min_p, repeat_penalty, then the seed in
// two words (0: the generator goes on), the number of end tokens and of stop strings, the tokens, and each string
// behind its length.
typedef struct {
    uint32_t most;  // tokens; 0: as many as there is room for
    uint32_t flags;
    Sampling how;
    uint64_t seed;
    uint32_t ends[MOST_MORE_ENDS];  // beside those of the tokenizer
    uint32_t end_count;
    Stops stops;
} Generation;

typedef struct {
    uint64_t read_tokens, read_nanoseconds;  // those that waited for the layers
    uint64_t nanoseconds;                    // of the steps after them
    int first;                               // generated token
    End end;
    uint32_t token;                          // that ended it, or ABSENT
} Answer;

// When the program looks whether a request waits. A look is a system call, which quick tokens share.
typedef struct {
    uint64_t last;  // time of a look
    int between;    // tokens from a look to the next
    int left;
} Looks;

static int input_waits(Looks *looks)
{
    if (--looks->left > 0) {
        return 0;
    }
    uint64_t now = platform_nanoseconds(), since = now - looks->last;
    if (since > LOOK_NANOSECONDS) {
        looks->between = (int)((uint64_t)looks->between * LOOK_NANOSECONDS / since) + 1;
    } else if (since < LOOK_NANOSECONDS / 2 && looks->between < MOST_BETWEEN_LOOKS) {
        looks->between *= 2;
    }
    looks->left = looks->between;
    looks->last = now;
    return platform_input_waiting();
}

static float float_at(const unsigned char *bytes)
{
    uint32_t word = word_at(bytes);
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

// 1, or 0 for a request that is none.
static int parse_generation(Generation *g, const unsigned char *request, uint32_t size)
{
    *g = (Generation){.most = 0};
    if (size < GENERATION_BYTES) {
        return 0;
    }
    g->most = word_at(request);
    g->flags = word_at(request + 4);
    g->how = (Sampling){float_at(request + 8), float_at(request + 12), float_at(request + 16), float_at(request + 20)};
    g->seed = (uint64_t)word_at(request + 24) << 32 | word_at(request + 28);
    uint32_t ends = word_at(request + 32), stops = word_at(request + 36), used = GENERATION_BYTES;
    if (ends > MOST_MORE_ENDS || 4 * ends > size - used) {
        return 0;
    }
    for (; g->end_count < ends; used += 4) {
        g->ends[g->end_count++] = word_at(request + used);
    }
    for (uint32_t i = 0; i < stops; i++) {
        uint32_t length = size - used < 4 ? 0 : word_at(request + used);
        if (!length || length > size - used - 4 || !stops_add(&g->stops, (const char *)request + used + 4, length)) {
            return 0;
        }
        used += 4 + length;
    }
    // A NaN is in no range.
    const Sampling *how = &g->how;
    return used == size && g->flags <= GENERATE_FLAGS && how->temperature >= 0 && how->temperature <= MOST_FACTOR &&
           how->topp >= 0 && how->topp <= 1 && how->min_p >= 0 && how->min_p <= 1 && how->repeat_penalty > 0 &&
           how->repeat_penalty <= MOST_FACTOR;
}

// Words: end, the token that ended it or ABSENT, tokens of the conversation, then in two words each what Answer has of
// times and tokens, and the tokens of the answer.
static void write_end(const Conversation *c, const Answer *a)
{
    const uint64_t figures[] = {a->read_tokens, a->read_nanoseconds, a->nanoseconds};
    uint32_t words[9] = {(uint32_t)a->end, a->token, (uint32_t)c->count};
    for (int i = 0; i < 3; i++) {
        words[3 + 2 * i] = (uint32_t)(figures[i] >> 32);
        words[4 + 2 * i] = (uint32_t)figures[i];
    }
    record_write_words(RECORD_END, words, 9, c->tokens + a->first, c->count - a->first);
}

static int is_end(const Conversation *c, const Generation *g, int token)
{
    for (uint32_t i = 0; i < g->end_count; i++) {
        if (g->ends[i] == (uint32_t)token) {
            return 1;
        }
    }
    return tokenizer_ends(c->tokenizer, token);
}

// One token of the answer more. 1 while the answer goes on.
static int say(Conversation *c, Inference *inference, const Generation *g, Printer *printer, Looks *looks, Answer *a,
               int next)
{
    if (!(g->flags & GENERATE_IGNORE_END) && is_end(c, g, next)) {
        a->end = END_TOKEN;
        a->token = (uint32_t)next;
        return 0;
    }
    int previous = c->tokens[c->count - 1], fits = c->count < c->room;
    if (fits) {
        c->starts[c->count] = (uint32_t)printer->printed;
        c->tokens[c->count++] = next;
    }
    sampler_accept(inference->sampler, next);
    printer_print(printer, c->tokenizer, previous, next);
    if (g->stops.stopped) {
        int count = c->count;
        while (count > a->first && c->starts[count - 1] >= g->stops.start) {
            count--;
        }
        conversation_keep(c, inference, count);
        a->end = END_STOP;
        return 0;
    }
    if (g->most && (uint32_t)(c->count - a->first) == g->most) {
        a->end = END_COUNT;
        return 0;
    }
    if (c->count == c->room && !(g->flags & GENERATE_STORY && fits)) {
        a->end = END_CONTEXT;
        return 0;
    }
    return !input_waits(looks);
}

// Prints the tokens that are there as llama2.c prints a prompt: up to an end token. 0 for one that ends there.
static int print_prompt(const Conversation *c, const Generation *g, Printer *printer)
{
    int byte_pairs = c->tokenizer->kind == TOKENIZER_BYTE_PAIRS;
    if (byte_pairs) {
        printer_print(printer, c->tokenizer, c->tokens[0], c->tokens[0]);
    }
    for (int i = 1; i < c->count; i++) {
        if (!byte_pairs && !(g->flags & GENERATE_IGNORE_END) && tokenizer_ends(c->tokenizer, c->tokens[i])) {
            return 0;
        }
        printer_print(printer, c->tokenizer, c->tokens[i - 1], c->tokens[i]);
    }
    printer->printed = printer->count;  // what stop strings have yet to take
    return 1;
}

static void start_sampler(const Conversation *c, Sampler *sampler, const Generation *g)
{
    sampler->how = g->how;
    sampler->state = g->seed ? g->seed : sampler->state;
    sampler_forget(sampler, c->tokens, c->count);
}

int answer(Conversation *c, Inference *inference, uint32_t size)
{
    static Generation g;  // its strings lie in the request
    if (!parse_generation(&g, c->request, size) || !c->count) {
        conversation_refuse(c->count ? "options that are none" : "no tokens");
        return 1;
    }
    int is_story = (g.flags & GENERATE_STORY) != 0;
    Printer printer = {.as_records = 1};
    Answer a = {.first = c->count, .end = c->count == c->room && !is_story ? END_CONTEXT : END_INPUT, .token = ABSENT};
    if (is_story && !print_prompt(c, &g, &printer)) {
        a.end = END_TOKEN;
    }
    printer.stops = g.stops.count ? &g.stops : 0;
    float *logits = 0;
    uint64_t start = platform_nanoseconds();
    if (a.end == END_INPUT) {
        int before = inference->pos;
        start_sampler(c, inference->sampler, &g);
        if (!conversation_read(c, inference, 1, &logits)) {
            return 0;
        }
        a.read_tokens = inference->pos > before ? (uint64_t)(inference->pos - before) : 0;
    }
    uint64_t read = platform_nanoseconds();
    a.read_nanoseconds = read - start;
    Looks looks = {.last = read, .between = 1, .left = 1};
    while (logits) {
        int next = inference_pick(inference, logits);
        if (next < 0) {
            return 0;
        }
        if (!say(c, inference, &g, &printer, &looks, &a, next)) {
            break;
        }
        if (!inference_pass(inference, &next, 1) || !(logits = inference_logits(inference, 0))) {
            return 0;
        }
    }
    printer_end(&printer);
    a.nanoseconds = platform_nanoseconds() - read;
    write_end(c, &a);
    return 1;
}
