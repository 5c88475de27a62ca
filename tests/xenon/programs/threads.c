// Uses hardware threads well and badly; the first argument says how.
#include "memory.h"
#include "platform.h"
#include "text.h"

enum { STACK = 16384, COUNT = 5 };
static volatile int64_t results[COUNT + 2];

// Waits until the task of a hardware thread has returned: the console's xenon_join_thread_task.
static void join(int thread)
{
    register int64_t r0 __asm__("r0") = 0x7802;
    register int64_t r3 __asm__("r3") = thread;
    __asm__ volatile("sc"
                     : "+r"(r0), "+r"(r3)
                     :
                     : "memory", "cr0", "ctr", "xer", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12");
}

static void square(void *argument)
{
    int64_t n = (int64_t)argument;
    results[n] = n * n;
}

static void allocate(void *argument)
{
    // Maps and writes memory while the others do the same.
    for (int i = 0; i < 20; i++) {
        volatile int64_t *memory = platform_allocate("of a thread", 8192);
        *memory = (int64_t)argument;
        results[(int64_t)argument] += *memory;
    }
}

static void spin(void *argument)
{
    for (volatile int64_t i = 0;; i++) {
        (void)argument;
    }
}

static void crash(void *argument)
{
    *(volatile int *)argument = 1;
}

static void leave(void *argument)
{
    platform_exit((int)(int64_t)argument);
}

static void run(int thread, void (*task)(void *), int64_t argument)
{
    char *stack = platform_allocate("stack of a thread", STACK);
    platform_run_thread_task(thread, stack + STACK, task, (void *)argument);
}

static void print_results(int count)
{
    for (int i = 1; i <= count; i++) {
        print(STANDARD_OUTPUT, "%d ", results[i]);
    }
    print(STANDARD_OUTPUT, "\n");
}

int main(int argument_count, char **arguments)
{
    const char *how = argument_count > 1 ? arguments[1] : "";
    int count = platform_thread_count() - 1;
    if (strcmp(how, "square") == 0 || strcmp(how, "allocate") == 0) {
        for (int round = 0; round < 3; round++) {
            for (int t = 1; t <= count; t++) {
                run(t, *how == 's' ? square : allocate, t);
            }
            for (int t = 1; t <= count; t++) {
                join(t);
            }
        }
        print_results(count);
    } else if (strcmp(how, "twice") == 0) {
        run(1, spin, 0);
        run(1, spin, 0);
    } else if (strcmp(how, "seventh") == 0) {
        run(6, square, 1);
    } else if (strcmp(how, "itself") == 0) {
        run(0, square, 1);
    } else if (strcmp(how, "crash") == 0) {
        run(1, spin, 0);
        run(2, crash, 0x1234);
        join(1);
    } else if (strcmp(how, "leave") == 0) {
        run(1, leave, 42);
        spin(0);
    } else if (strcmp(how, "abandon") == 0) {
        run(1, spin, 0);
    } else if (strcmp(how, "wait") == 0) {
        run(1, spin, 0);
        join(1);
    }
    return 0;
}
