// Work shared out over the console's hardware threads. Workers are started once; then they wait for jobs, awake for a
// while, asleep after that. A job is cut into chunks, which the caller and the workers take one by one. Nobody waits
// for a worker that has taken none. Chunks never overlap, so that no result depends on who computed them.
#include "parallel.h"

#include <stdatomic.h>

#include "allocations.h"
#include "platform.h"

enum { MOST_THREADS = MEMORY_STACK_5 - MEMORY_STACK_1 + 2 };
enum { GRAINS_TO_WAKE_FOR = 16 };  // a smaller job costs less than the system calls that wake a thread
enum { LOOKS = 600000 };          // before a thread falls asleep; takes about as long as a small model's token

enum { FIRST_QUESTION = 16, LAST_QUESTION = 256 };  // large jobs until the machine is asked again for a processor

enum { AWAKE, ASLEEP };

typedef struct {
    _Alignas(CACHE_LINE) _Atomic int32_t state;  // what the worker sleeps at while it is ASLEEP
    void *stack_end;
} Worker;

static Worker workers[MOST_THREADS];  // by hardware thread; that of thread 0 is not used
static int threads = 1;  // that have a stack, the caller's among them
static int running = 1;  // that are started
static int jobs_until_question = 0;
static int jobs_between_questions = FIRST_QUESTION;

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
    int count = platform_thread_count();
    for (threads = 1; threads < count && threads < MOST_THREADS; threads++) {
        char *stack = allocate((Allocation)(MEMORY_STACK_1 + threads - 1), (Extents){0});
        if (!stack) {
            return;
        }
        workers[threads].stack_end = stack + THREAD_STACK_BYTES;
    }
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
    for (int t = 1; t < running; t++) {
        if (atomic_load_explicit(&workers[t].state, memory_order_relaxed) == AWAKE) {
            return 1;
        }
    }
    return 0;
}

// Starts as many workers as the machine has processors for. It is asked now and then.
static void start_workers(void)
{
    if (jobs_until_question-- > 0) {
        return;
    }
    jobs_until_question = jobs_between_questions;
    if (jobs_between_questions < LAST_QUESTION) {
        jobs_between_questions *= 2;
    }
    int at_once = platform_threads_at_once();
    while (running < threads && running < at_once) {
        Worker *worker = &workers[running];
        if (!platform_run_thread_task(running, worker->stack_end, run_worker, worker)) {
            threads = running;  // it cannot be had
            return;
        }
        running++;
    }
}

static void wake_workers(void)
{
    for (int t = 1; t < running; t++) {
        int32_t state = ASLEEP;
        if (atomic_load(&workers[t].state) == ASLEEP && atomic_compare_exchange_strong(&workers[t].state, &state, AWAKE)) {
            platform_wake(&workers[t].state);
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
    int wakes = grains >= GRAINS_TO_WAKE_FOR;
    if (wakes && running < threads) {
        start_workers();
    }
    int chunks = grains < running ? grains : running;  // each begins where nothing is prefetched yet
    if (running < 2 || chunks < 2 || (!wakes && !has_company())) {
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
