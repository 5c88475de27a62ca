// Stop strings, compared at every byte with the end of the text.
#include "stops.h"

#include "memory.h"

int stops_add(Stops *s, const char *bytes, uint64_t length)
{
    if (s->count == MOST_STOPS || length < 1 || length > MOST_STOP_BYTES) {
        return 0;
    }
    s->strings[s->count++] = (Stop){bytes, (uint32_t)length};
    return 1;
}

void stops_begin(Stops *s)
{
    s->pending_count = 0;
    s->taken = s->start = 0;
    s->stopped = 0;
}

// Whether a string begins with the pending bytes from start on.
static int may_begin(const Stops *s, uint32_t start)
{
    uint32_t length = s->pending_count - start;
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t same = 0;
        while (same < length && same < s->strings[i].length && s->strings[i].bytes[same] == s->pending[start + same]) {
            same++;
        }
        if (same == length) {
            return 1;
        }
    }
    return 0;
}

// The longest string that the pending bytes end with: its length, or 0.
static uint32_t longest_at_end(const Stops *s)
{
    uint32_t longest = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t length = s->strings[i].length, same = 0;
        while (length <= s->pending_count && same < length &&
               s->strings[i].bytes[same] == s->pending[s->pending_count - length + same]) {
            same++;
        }
        longest = same == length && length > longest ? length : longest;
    }
    return longest;
}

uint32_t stops_take(Stops *s, char byte, char *out)
{
    if (s->stopped) {
        return 0;
    }
    // Pending bytes begin a string and are not all of it, so that there is room for one more.
    s->pending[s->pending_count++] = byte;
    s->taken++;
    uint32_t length = longest_at_end(s), done = s->pending_count - length;
    if (length) {
        s->stopped = 1;
        s->start = s->taken - length;
    } else {
        for (done = 0; done < s->pending_count && !may_begin(s, done); done++) {
        }
    }
    memcpy(out, s->pending, done);
    s->pending_count -= done;
    memmove(s->pending, s->pending + done, s->pending_count);
    return done;
}
