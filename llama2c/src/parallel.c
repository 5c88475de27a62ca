// Work shared out over the console's hardware threads. Workers are started once; then they wait for work, awake for a
// while, asleep after that. The caller calls them to a job by their boxes. Then each thread, the caller's too, takes
// chunk after chunk of it until none is left, large ones first: a thread that gets less of a processor than another does
// less of the job. Chunks never overlap, so that no result depends on who computed them.
#include "parallel.h"

#include <stdatomic.h>

#include "allocations.h"
#include "platform.h"

enum { MOST_THREADS = MEMORY_STACK_5 - MEMORY_STACK_1 + 2 };
enum { GRAINS_TO_WAKE_FOR = 16 };  // a smaller job costs less than the system calls that wake a thread
enum { LOOKS = 600000 };          // before a thread falls asleep; takes about as long as a small model's token

enum { FIRST_QUESTION = 16, LAST_QUESTION = 256 };  // large jobs until the machine is asked again for a processor

enum { AWAKE, ASLEEP };

enum { CHUNKS_OF_A_THREAD = 32, UNIT = 16 };  // a chunk is at least one part in so many; large ones are whole units

typedef enum {
    EMPTY,
    POSTED,   // there is a job to help with
    TAKEN,    // the worker helps
    AWAITED,  // and the caller sleeps until it has
} Box;

// A worker's box and its state lie in different lines: while it looks into the box, that line is its own.
typedef struct {
    _Alignas(CACHE_LINE) _Atomic int32_t box;    // what the caller sleeps at
    _Alignas(CACHE_LINE) _Atomic int32_t state;  // what the worker sleeps at while it is ASLEEP
    void *stack_end;
} Worker;

// The job under way. It changes while all boxes are EMPTY; what all threads write lies in a line of its own.
typedef struct {
    Share *share;
    const void *context;
    int end;
    int least;    // items of a chunk, but for the last
    int threads;  // that may take part
    _Alignas(CACHE_LINE) _Atomic int32_t next;  // the first item that no thread has taken
} Job;

static Worker workers[MOST_THREADS];  // by hardware thread; that of thread 0 is not used
static Job job;
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

// Takes chunks of the job until none is left: four fifths of its even share of what is left at a time.
static void take_chunks(void)
{
    int32_t start = atomic_load_explicit(&job.next, memory_order_relaxed);
    while (start < job.end) {
        int left = job.end - start;
        int size = (int)((int64_t)left * 4 / (5 * job.threads));
        size = size > UNIT ? size & -UNIT : size;
        size = size > job.least ? size : job.least;
        size = size < left ? size : left;
        if (atomic_compare_exchange_weak(&job.next, &start, start + size)) {
            job.share(job.context, start, start + size);
            start = atomic_load_explicit(&job.next, memory_order_relaxed);
        }
    }
}

// Helps with the job, if the caller has not taken the call back.
static void help(Worker *worker)
{
    int32_t posted = POSTED;
    if (!atomic_compare_exchange_strong(&worker->box, &posted, TAKEN)) {
        return;
    }
    take_chunks();
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
    // Who posted before that may not have seen it.
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
        help(worker);
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

static inline void post(Worker *worker)
{
    // A worker that falls asleep at this moment may not see it; then the caller takes it back.
    atomic_store_explicit(&worker->box, POSTED, memory_order_release);
    if (atomic_load_explicit(&worker->state, memory_order_relaxed) == ASLEEP) {
        wake_worker(worker);
    }
}

// Returns when the worker has ended its last chunk, or has not begun and will not.
static void dismiss(Worker *worker)
{
    int32_t box = POSTED;
    if (atomic_load_explicit(&worker->box, memory_order_relaxed) == POSTED &&
        atomic_compare_exchange_strong(&worker->box, &box, EMPTY)) {
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
    int helpers = find_workers(company, grains - 1, wakes);
    if (helpers == 0) {
        share(context, 0, n);
        return;
    }
    // The last chunks are small, so that no thread waits long for another.
    int least = n / (CHUNKS_OF_A_THREAD * (helpers + 1)), smallest = grain < UNIT ? grain : UNIT;
    least = least > smallest ? least : smallest;
    least = least > UNIT ? (least + UNIT - 1) & -UNIT : least;
    job = (Job){share, context, n, least, helpers + 1, 0};
    for (int i = 0; i < helpers; i++) {
        post(company[i]);
    }
    take_chunks();
    for (int i = 0; i < helpers; i++) {
        dismiss(company[i]);
    }
}
