// Work shared out over the console's hardware threads. Workers are started once; then they wait for jobs, awake for a
// while, asleep after that. A job is cut into chunks, which the caller and the workers take one by one. Nobody waits
// for a worker that has taken none. Chunks never overlap, so that no result depends on who computed them.
#include "parallel.h"

#include <stdatomic.h>

#include "allocations.h"
#include "platform.h"

enum { MOST_THREADS = MEMORY_STACK_5 - MEMORY_STACK_1 + 2 };
enum { CHUNKS_OF_THREAD = 4 };    // a thread that does not get on holds up one of these
enum { GRAINS_TO_WAKE_FOR = 8 };  // a smaller job costs less than the system calls that wake a thread
enum { LOOKS = 600000 };          // before a thread falls asleep; takes about as long as a small model's token

enum { NOT_STARTED, AWAKE, ASLEEP, REFUSED };

typedef struct {
    _Alignas(CACHE_LINE) _Atomic int32_t state;  // what the worker sleeps at while it is ASLEEP
    void *stack_end;
} Worker;

static Worker workers[MOST_THREADS];  // by hardware thread; that of thread 0 is not used
static int threads = 1;

// The job at hand. `ticket` has its number in the upper half, so that a late worker takes nothing of the next job by
// mistake, and in the lower half the chunks that nobody has taken. The rest changes only while that half is 0.
static _Alignas(CACHE_LINE) _Atomic uint64_t ticket;
static _Atomic(Share *) job_share;
static _Atomic(const void *) job_context;
static _Atomic int job_items;
static _Atomic int job_chunks;
static _Alignas(CACHE_LINE) _Atomic int32_t unfinished;  // chunks; what the caller sleeps at
static _Atomic int32_t caller_sleeps;

void parallel_start(void)
{
    // All stacks, also of threads that will have no processor: what memory a run takes is the console's matter.
    int count = platform_thread_count();
    int have = 1;
    for (; have < count && have < MOST_THREADS; have++) {
        char *stack = allocate((Allocation)(MEMORY_STACK_1 + have - 1), (Extents){0});
        if (!stack) {
            break;
        }
        workers[have].stack_end = stack + THREAD_STACK_BYTES;
    }
    int at_once = platform_threads_at_once();
    threads = have < at_once ? have : at_once;
}

// Takes chunks until there are none.
static void take_chunks(void)
{
    for (;;) {
        uint64_t seen = atomic_load_explicit(&ticket, memory_order_acquire);
        int left = (int)(uint32_t)seen;
        if (left == 0) {
            return;
        }
        Share *share = atomic_load_explicit(&job_share, memory_order_relaxed);
        const void *context = atomic_load_explicit(&job_context, memory_order_relaxed);
        int64_t items = atomic_load_explicit(&job_items, memory_order_relaxed);
        int chunks = atomic_load_explicit(&job_chunks, memory_order_relaxed);
        if (!atomic_compare_exchange_strong_explicit(&ticket, &seen, seen - 1, memory_order_acq_rel, memory_order_relaxed)) {
            continue;
        }
        int chunk = chunks - left;
        share(context, (int)(items * chunk / chunks), (int)(items * (chunk + 1) / chunks));
        if (atomic_fetch_sub(&unfinished, 1) == 1 && atomic_load(&caller_sleeps)) {
            platform_wake(&unfinished);
        }
    }
}

// Returns when there may be something to take.
static void await_job(Worker *worker)
{
    for (int look = 0; look < LOOKS; look++) {
        if ((uint32_t)atomic_load_explicit(&ticket, memory_order_acquire) != 0) {
            return;
        }
    }
    atomic_store(&worker->state, ASLEEP);
    // A job that was posted before that may not have seen it.
    while ((uint32_t)atomic_load(&ticket) == 0 && atomic_load(&worker->state) == ASLEEP) {
        platform_wait(&worker->state, ASLEEP);
    }
    atomic_store(&worker->state, AWAKE);
}

static void run_worker(void *worker)
{
    for (;;) {
        await_job(worker);
        take_chunks();
    }
}

// Whether some worker looks for jobs.
static int has_company(void)
{
    for (int t = 1; t < threads; t++) {
        if (atomic_load_explicit(&workers[t].state, memory_order_relaxed) == AWAKE) {
            return 1;
        }
    }
    return 0;
}

// Wakes the workers that sleep, and starts those that were not started.
static void wake_workers(void)
{
    for (int t = 1; t < threads; t++) {
        Worker *worker = &workers[t];
        int32_t state = atomic_load(&worker->state);
        if (state == NOT_STARTED) {
            atomic_store(&worker->state, AWAKE);
            if (!platform_run_thread_task(t, worker->stack_end, run_worker, worker)) {
                atomic_store(&worker->state, REFUSED);
            }
        } else if (state == ASLEEP && atomic_compare_exchange_strong(&worker->state, &state, AWAKE)) {
            platform_wake(&worker->state);
        }
    }
}

// Returns when all chunks of the job are done.
static void await_end(void)
{
    for (int look = 0; look < LOOKS; look++) {
        if (atomic_load_explicit(&unfinished, memory_order_acquire) == 0) {
            return;
        }
    }
    atomic_store(&caller_sleeps, 1);
    for (int32_t left; (left = atomic_load(&unfinished)) != 0;) {
        platform_wait(&unfinished, left);
    }
    atomic_store(&caller_sleeps, 0);
}

void parallel_for(int n, int grain, Share *share, const void *context)
{
    int grains = grain > 0 ? n / grain : n;
    int most = threads * CHUNKS_OF_THREAD;
    int chunks = grains < most ? grains : most;
    int wakes = grains >= GRAINS_TO_WAKE_FOR;
    if (threads < 2 || chunks < 2 || (!wakes && !has_company())) {
        share(context, 0, n);
        return;
    }
    atomic_store_explicit(&job_share, share, memory_order_relaxed);
    atomic_store_explicit(&job_context, context, memory_order_relaxed);
    atomic_store_explicit(&job_items, n, memory_order_relaxed);
    atomic_store_explicit(&job_chunks, chunks, memory_order_relaxed);
    atomic_store_explicit(&unfinished, chunks, memory_order_relaxed);
    uint64_t number = (atomic_load_explicit(&ticket, memory_order_relaxed) >> 32) + 1;
    atomic_store(&ticket, number << 32 | (uint32_t)chunks);
    if (wakes) {
        wake_workers();
    }
    take_chunks();
    await_end();
}
