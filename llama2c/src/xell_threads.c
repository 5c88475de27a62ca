// Hardware threads 1 to 5, which wait at their mailboxes for tasks.
#include "platform.h"
#include "xell.h"

enum { WAIT_TURNS = 256 };

Mailbox xell_mailboxes[XELL_THREADS];
// Hardware threads in the order in which they are used: those of other cores first, as two threads share a core.
static const int ORDER[XELL_THREADS] = {0, 2, 4, 1, 3, 5};
static int used[XELL_THREADS];  // by the port's number of a thread
static int most_threads = XELL_THREADS;

int platform_thread_count(void)
{
    return XELL_THREADS;
}

unsigned xell_arrived(void)
{
    unsigned threads = 1;
    for (int i = 1; i < XELL_THREADS; i++) {
        threads |= (unsigned)(xell_mailboxes[i].arrived != 0) << i;
    }
    return threads;
}

void xell_limit_threads(int most)
{
    most_threads = most;
}

int platform_threads_at_once(void)
{
    int threads = __builtin_popcount(xell_arrived());
    return threads < most_threads ? threads : most_threads;
}

int xell_start_task(int thread, void *stack_end, void (*task)(void *), void *argument)
{
    Mailbox *mailbox = &xell_mailboxes[thread];
    if (!mailbox->arrived || mailbox->stack_end) {
        return 0;
    }
    mailbox->task = task;
    mailbox->argument = argument;
    mailbox->stack_end = stack_end;
    return 1;
}

int platform_run_thread_task(int thread, void *stack_end, void (*task)(void *), void *argument)
{
    for (int i = 1; i < XELL_THREADS && !used[thread]; i++) {
        int taken = 0;
        for (int other = 1; other < XELL_THREADS; other++) {
            taken |= used[other] == ORDER[i];
        }
        used[thread] = taken || !xell_mailboxes[ORDER[i]].arrived ? 0 : ORDER[i];
    }
    return used[thread] && xell_start_task(used[thread], stack_end, task, argument);
}

// Called by xell_start.S on the mailbox's stack.
void xell_run_thread(Mailbox *mailbox)
{
    mailbox->task(mailbox->argument);
    mailbox->stack_end = 0;
}

void platform_wait(_Atomic int32_t *word, int32_t value)
{
    if (xell_mailboxes[1].ended) {
        stop();
    }
    __asm__ volatile("or 31, 31, 31");
    for (int turn = 0; turn < WAIT_TURNS && *word == value; turn++) {
    }
    __asm__ volatile("or 2, 2, 2");
}

void platform_wake(_Atomic int32_t *word)
{
    (void)word;  // it looks by itself
}
