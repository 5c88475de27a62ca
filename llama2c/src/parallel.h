// Work shared out over the console's hardware threads in chunks: fork, and join before going on.
#ifndef PARALLEL_H
#define PARALLEL_H

// The items start up to end, of whatever context says.
typedef void Share(const void *context, int start, int end);

// Asks the machine for its hardware threads and gives each a stack; without this all work stays on the caller.
void parallel_start(void);
// Runs share over the items 0 to n, in chunks of at least grain items, on the caller and on whatever threads are there.
void parallel_for(int n, int grain, Share *share, const void *context);

#endif
