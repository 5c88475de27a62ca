// Stop strings: looks for them in text as it comes, and holds back what may be the beginning of one.
#ifndef STOPS_H
#define STOPS_H

#include <stdint.h>

enum { MOST_STOPS = 16, MOST_STOP_BYTES = 128 };

typedef struct {
    const char *bytes;
    uint32_t length;
} Stop;

typedef struct {
    Stop strings[MOST_STOPS];
    uint32_t count;                 // of strings
    char pending[MOST_STOP_BYTES];  // the end of the text so far, which a string may begin with
    uint32_t pending_count;
    uint64_t taken;                 // bytes of text so far, with those pending
    uint64_t start;                 // the byte of the text where the stop string begins, once stopped
    int stopped;
} Stops;

// Adds a string of 1 to MOST_STOP_BYTES bytes, which lives as long as the stops: 1, or 0 where it cannot be.
int stops_add(Stops *stops, const char *bytes, uint64_t length);
// Before a new text.
void stops_begin(Stops *stops);
// Takes one more byte of the text. Writes to out (MOST_STOP_BYTES) the bytes that belong to no stop string any more:
// their number. Once stopped there are none.
uint32_t stops_take(Stops *stops, char byte, char *out);

#endif
