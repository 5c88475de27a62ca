#include "story.h"

#include "allocations.h"
#include "platform.h"
#include "text.h"

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

int story_tell(Story *story, const int *prompt, int prompt_tokens)
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
