// Work shared out over the console's hardware threads. Parts never overlap, so that no result depends on their number.
#include "parallel.h"

#include "allocations.h"
#include "platform.h"

enum { MOST_THREADS = MEMORY_STACK_5 - MEMORY_STACK_1 + 2 };

typedef struct {
    Share *share;
    const void *context;
    int start;
    int end;
} Part;

static int threads = 1;
static void *stacks[MOST_THREADS];  // the lowest address of each
static Part parts[MOST_THREADS];

void parallel_start(void)
{
    int count = platform_thread_count();
    for (threads = 1; threads < count && threads < MOST_THREADS; threads++) {
        stacks[threads] = allocate((Allocation)(MEMORY_STACK_1 + threads - 1), (Extents){0});
        if (!stacks[threads]) {
            return;
        }
    }
}

static void run_part(void *part)
{
    const Part *p = part;
    p->share(p->context, p->start, p->end);
}

void parallel_for(int n, int grain, Share *share, const void *context)
{
    int most = grain > 0 ? n / grain : n;
    int count = most < threads ? most : threads;
    if (count < 2) {
        share(context, 0, n);
        return;
    }
    for (int t = 0; t < count; t++) {
        parts[t] = (Part){share, context, (int)((int64_t)n * t / count), (int)((int64_t)n * (t + 1) / count)};
    }
    for (int t = 1; t < count; t++) {
        platform_run_thread_task(t, (char *)stacks[t] + THREAD_STACK_BYTES, run_part, &parts[t]);
    }
    run_part(&parts[0]);
    for (int t = 1; t < count; t++) {
        platform_join_thread_task(t);
    }
}
