// Work shared out over the console's hardware threads. Workers are started once; then they wait for work, awake for a
// while, asleep after that. A job is cut into a chunk for each thread. The caller puts a chunk into each worker's box,
// does its own, and takes back what no worker has taken. Chunks never overlap, so that no result depends on who computed
// them.
#include "parallel.h"

#include <stdatomic.h>

#include "allocations.h"
#include "platform.h"

enum { MOST_THREADS = MEMORY_STACK_5 - MEMORY_STACK_1 + 2 };
enum { GRAINS_TO_WAKE_FOR = 16 };  // a smaller job costs less than the system calls that wake a thread
enum { LOOKS = 600000 };          // before a thread falls asleep; takes about as long as a small model's token

enum { FIRST_QUESTION = 16, LAST_QUESTION = 256 };  // large jobs until the machine is asked again for a processor

enum { AWAKE, ASLEEP };

typedef enum {
    EMPTY,
    POSTED,   // a chunk lies in it
    TAKEN,    // the worker computes it
    AWAITED,  // and the caller sleeps until it has
} Box;

// A worker's box and its state lie in different lines: while it looks into the box, that line is its own.
typedef struct {
    _Alignas(CACHE_LINE) _Atomic int32_t box;  // what the caller sleeps at; the chunk changes while this is EMPTY
    int start, end;
    Share *share;
    const void *context;
    _Alignas(CACHE_LINE) _Atomic int32_t state;  // what the worker sleeps at while it is ASLEEP
    void *stack_end;
} Worker;

static Worker workers[MOST_THREADS];  // by hardware thread; that of thread 0 is not used
static int threads = 1;  // that have a stack, the caller's among them
static int running = 1;  // that are started
static int jobs_until_question = 0;
static int jobs_between_questions = FIRST_QUESTION;

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

// Computes what lies in the box, if the caller has not taken it back.
static void take_chunk(Worker *worker)
{
    int32_t posted = POSTED;
    if (!atomic_compare_exchange_strong(&worker->box, &posted, TAKEN)) {
        return;
    }
    worker->share(worker->context, worker->start, worker->end);
    if (atomic_exchange(&worker->box, EMPTY) == AWAITED) {
        platform_wake(&worker->box);
    }
}

// Returns when there may be something in the box.
static void await_job(Worker *worker)
{
    for (int look = 0; look < LOOKS; look++) {
        if (atomic_load_explicit(&worker->box, memory_order_relaxed) == POSTED) {
            return;
        }
    }
    atomic_store(&worker->state, ASLEEP);
    // A chunk that was posted before that may not have seen it.
    while (atomic_load(&worker->box) != POSTED && atomic_load(&worker->state) == ASLEEP) {
        platform_wait(&worker->state, ASLEEP);
    }
    atomic_store(&worker->state, AWAKE);
}

static void run_worker(void *argument)
{
    Worker *worker = argument;
    for (;;) {
        await_job(worker);
        take_chunk(worker);
    }
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

static void wake_worker(Worker *worker)
{
    int32_t state = ASLEEP;
    if (atomic_compare_exchange_strong(&worker->state, &state, AWAKE)) {
        platform_wake(&worker->state);
    }
}

// The workers that a job may have, those that sleep too if it `wakes` them: at most `most`.
static inline int find_workers(Worker **company, int most, int wakes)
{
    int count = 0;
    for (int t = 1; t < running && count < most; t++) {
        if (wakes || atomic_load_explicit(&workers[t].state, memory_order_relaxed) == AWAKE) {
            company[count++] = &workers[t];
        }
    }
    return count;
}

static inline void post(Worker *worker, Share *share, const void *context, int start, int end)
{
    worker->share = share;
    worker->context = context;
    worker->start = start;
    worker->end = end;
    // A worker that falls asleep at this moment may not see it; then the caller takes it back.
    atomic_store_explicit(&worker->box, POSTED, memory_order_release);
    if (atomic_load_explicit(&worker->state, memory_order_relaxed) == ASLEEP) {
        wake_worker(worker);
    }
}

// Returns when the worker's chunk is done: by the caller, if the worker has not begun.
static void end_chunk(Worker *worker)
{
    int32_t box = POSTED;
    if (atomic_load_explicit(&worker->box, memory_order_relaxed) == POSTED &&
        atomic_compare_exchange_strong(&worker->box, &box, EMPTY)) {
        worker->share(worker->context, worker->start, worker->end);
        return;
    }
    for (int look = 0; look < LOOKS; look++) {
        if (atomic_load_explicit(&worker->box, memory_order_acquire) == EMPTY) {
            return;
        }
    }
    box = TAKEN;
    if (atomic_compare_exchange_strong(&worker->box, &box, AWAITED)) {
        while (atomic_load(&worker->box) == AWAITED) {
            platform_wait(&worker->box, AWAITED);
        }
    }
}

void parallel_for(int n, int grain, Share *share, const void *context)
{
    int grains = grain > 0 ? n / grain : n;
    int wakes = grains >= GRAINS_TO_WAKE_FOR;
    if (wakes && running < threads) {
        start_workers();
    }
    Worker *company[MOST_THREADS];
    int chunks = find_workers(company, grains - 1, wakes) + 1;  // each begins where nothing is prefetched yet
    for (int i = 1; i < chunks; i++) {
        post(company[i - 1], share, context, (int)((int64_t)n * i / chunks), (int)((int64_t)n * (i + 1) / chunks));
    }
    share(context, 0, n / chunks);
    for (int i = 1; i < chunks; i++) {
        end_chunk(company[i - 1]);
    }
}
