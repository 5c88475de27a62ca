// The order of the self-test's page: what may stop a console comes after what cannot, and tells so by where it stopped.
#include "xell_selftest.h"

#include "platform.h"
#include "xell.h"

enum { STORY_ARGUMENTS = 15, ALL_THREADS = 0x3f, WAIT_TICKS = TIME_BASE_HERTZ / 10, WAIT_TURNS = 1000000 };
static const char START[] = "---- self-test ----\n", END[] = "---- end of self-test ----\n";

// A screen with fewer lines shows the page in two parts.
enum { LINES_OF_PAGE = 38, PAUSE_SECONDS = 20, PAUSE_TURNS = 1 << 28 };
static const char PAUSE[] = "(photograph this: the page goes on in 20 seconds)\n";

extern int main(int, char **);

static void number_line(const char *label, uint64_t value, int digits)
{
    page_start(label);
    page_hexadecimal(value, digits);
    page_end_line();
}

// A tenth of a second for threads that are late.
static void await_threads(void)
{
    uint64_t start = time_base();
    for (int turn = 0; turn < WAIT_TURNS && xell_arrived() != ALL_THREADS; turn++) {
        if (time_base() - start > WAIT_TICKS) {
            return;
        }
    }
}

#define SPECIAL(number)                                              \
    ({                                                               \
        uint64_t value;                                              \
        __asm__ volatile("mfspr %0, " #number : "=r"(value));        \
        value;                                                       \
    })

static void processor(void)
{
    uint64_t msr;
    __asm__ volatile("mfmsr %0" : "=r"(msr));
    number_line("pvr", SPECIAL(287), 8);
    number_line("msr", msr, 16);
    number_line("hid4", SPECIAL(1012), 16);
    number_line("hid6", SPECIAL(1017), 16);
    number_line("lpcr", SPECIAL(318), 1);
    number_line("threads", xell_arrived(), 2);
    Range free = heap_largest();
    page_start("memory");
    page_hexadecimal(free.start, 8);
    page_hexadecimal(free.end, 8);
    page_end_line();
}

static uint32_t logits_crc;

static void take_logits(int stream, const void *bytes, uint64_t size)
{
    if (stream == STANDARD_OUTPUT) {
        logits_crc = crc32_of(logits_crc, bytes, size);
    }
}

// The logits of a greedy story by the model in the files, and thousandths of its tokens a second.
static void logits(const char *label, char *kernel, int threads)
{
    char *arguments[STORY_ARGUMENTS] = {
        "xenon-llm", "model.bin", "-z", "tokenizer.bin", "-r", "3", "-l", "-t", "0", "-n", "12", "-k", kernel, "-i",
        "Sleepy Joe said",
    };
    page_start(label);
    page_decimal((uint64_t)threads);
    logits_crc = 0;
    xell_limit_threads(threads);
    xell_redirect(take_logits);
    int status = main(STORY_ARGUMENTS, arguments);
    xell_redirect(0);
    if (status) {
        page_word("failed");
    } else {
        double speed = xell_tokens_per_second();
        page_hexadecimal(logits_crc, 8);
        page_decimal(speed > 0 ? (uint64_t)(int64_t)(speed * 1000) : 0);
    }
    page_end_line();
}

// On the screen alone: the serial port needs no pause.
static void pause_on_small_screen(void)
{
    if (!screen_lines() || screen_lines() >= LINES_OF_PAGE) {
        return;
    }
    screen_write(PAUSE, sizeof PAUSE - 1);
    uint64_t start = time_base();
    for (int turn = 0; turn < PAUSE_TURNS && time_base() - start < (uint64_t)PAUSE_SECONDS * TIME_BASE_HERTZ; turn++) {
    }
}

void selftest(void)
{
    await_threads();
    show(START, sizeof START - 1);
    page_start("self-test");
    page_decimal(1);
    page_end_line();
    processor();
    codes_of_rounding();
    codes_of_division();
    codes_of_estimates();
    pause_on_small_screen();
    speed_of_time_base();
    speed_of_chains();
    codes_of_caches();
    speed_of_memory();
    int threads = __builtin_popcount(xell_arrived());
    logits("logits-scalar", "scalar", 1);
    logits("logits-vmx", "vmx", 1);
    if (threads > 1) {
        logits("logits-vmx", "vmx", threads);
    }
    page_end();
    show(END, sizeof END - 1);
}
