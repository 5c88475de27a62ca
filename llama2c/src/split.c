// The expressions of the pre-tokenizers, by hand. Each function tries the alternatives in the expression's order:
// GPT-2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// Llama 3  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+
//          |\s+(?!\S)|\s+
// Qwen 2   the same with \p{N}
#include "split.h"

#include "char_classes.h"
#include "utf8.h"

enum { LONG_S = 0x17f };  // ſ, an s where case does not matter

typedef struct {
    uint32_t code;
    Char_Class class;
    uint64_t end;
} Character;

static Character character(const Split *s, uint64_t start, uint64_t end)
{
    Character c = {UTF8_MALFORMED, CLASS_END, end};
    if (start < end) {
        c.code = (unsigned char)s->text[start];
        c.end = start + 1;
        if (c.code >= 0x80) {
            c.end = start + utf8_character(s->text + start, end - start, &c.code);
        }
        c.class = char_class(c.code);
    }
    return c;
}

// As the expressions see it.
static Character matched(const Split *s, uint64_t start, uint64_t end)
{
    Character c = character(s, start, end);
    c.class = c.class == CLASS_DIGIT_ONLY ? CLASS_OTHER : c.class;
    return c;
}

static uint64_t run_of(const Split *s, Char_Class class, uint64_t start, uint64_t end)
{
    Character c;
    while ((c = matched(s, start, end)).class == class) {
        start = c.end;
    }
    return start;
}

static uint32_t lower(uint32_t code)
{
    return code - 'A' < 26u ? code + 32 : code == LONG_S ? 's' : code;
}

// The end of 's 't 're 've 'm 'll 'd at start; 0 for none.
static uint64_t contraction(const Split *s, uint64_t start, uint64_t end, int any_case)
{
    if (s->text[start] != '\'') {
        return 0;
    }
    Character first = character(s, start + 1, end), second = character(s, first.end, end);
    uint32_t a = any_case ? lower(first.code) : first.code, b = any_case ? lower(second.code) : second.code;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') {
        return first.end;
    }
    return ((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l') ? second.end : 0;
}

// A run of white space gives up its last character where something follows and it has more than that.
static uint64_t white_space(const Split *s, uint64_t start, uint64_t end)
{
    uint64_t last = start;
    uint64_t stop = start;
    Character c;
    while ((c = character(s, stop, end)).class == CLASS_SPACE) {
        last = stop;
        stop = c.end;
    }
    return stop == end || last == start ? stop : last;
}

static uint64_t gpt2(const Split *s, uint64_t start, uint64_t end)
{
    uint64_t stop = contraction(s, start, end, 0);
    if (stop) {
        return stop;
    }
    Character c = matched(s, start, end);
    if (c.code == ' ') {
        Character behind = matched(s, c.end, end);
        if (behind.class != CLASS_SPACE && behind.class != CLASS_END) {
            c = behind;
        }
    }
    return c.class == CLASS_SPACE ? white_space(s, start, end) : run_of(s, c.class, c.end, end);
}

// Every number alone; a stretch between is cut as if it were the text.
static uint64_t smollm(Split *s, uint64_t start)
{
    if (s->stretch <= start) {
        Character c = character(s, start, s->length);
        if (c.class == CLASS_NUMBER || c.class == CLASS_DIGIT_ONLY) {
            return c.end;
        }
        while (c.class != CLASS_NUMBER && c.class != CLASS_DIGIT_ONLY && c.class != CLASS_END) {
            s->stretch = c.end;
            c = character(s, c.end, s->length);
        }
    }
    return gpt2(s, start, s->stretch);
}

static int is_line_end(uint32_t code)
{
    return code == '\r' || code == '\n';
}

// The end of the last line end in the white space at start; 0 where it has none.
static uint64_t line_ends(const Split *s, uint64_t start, uint64_t end)
{
    uint64_t stop = 0;
    for (Character c = character(s, start, end); c.class == CLASS_SPACE; c = character(s, c.end, end)) {
        stop = is_line_end(c.code) ? c.end : stop;
    }
    return stop;
}

static uint64_t llama3(const Split *s, uint64_t start, int most_numbers)
{
    uint64_t end = s->length, stop = contraction(s, start, end, 1);
    if (stop) {
        return stop;
    }
    Character c = matched(s, start, end), behind = matched(s, c.end, end);
    if (c.class == CLASS_LETTER ||
        (behind.class == CLASS_LETTER && c.class != CLASS_NUMBER && !is_line_end(c.code))) {
        return run_of(s, CLASS_LETTER, c.end, end);
    }
    if (c.class == CLASS_NUMBER) {
        for (stop = c.end; --most_numbers > 0 && behind.class == CLASS_NUMBER; behind = matched(s, stop, end)) {
            stop = behind.end;
        }
        return stop;
    }
    if (c.class == CLASS_OTHER || (c.code == ' ' && behind.class == CLASS_OTHER)) {
        stop = run_of(s, CLASS_OTHER, c.end, end);
        while (stop < end && is_line_end((unsigned char)s->text[stop])) {
            stop++;
        }
        return stop;
    }
    stop = line_ends(s, start, end);
    return stop ? stop : white_space(s, start, end);
}

uint64_t split_next(Split *split, uint64_t start)
{
    switch (split->how) {
    case SPLIT_SMOLLM:
        return smollm(split, start);
    case SPLIT_LLAMA3:
        return llama3(split, start, 3);
    case SPLIT_QWEN2:
        return llama3(split, start, 1);
    case SPLIT_GPT2:
        break;
    }
    return gpt2(split, start, split->length);
}
