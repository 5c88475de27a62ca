// How fast the console is: its time base by its clock, chains of operations, memory by one thread and by several.
#include "vector.h"
#include "xell.h"
#include "xell_selftest.h"

enum { LINE = 128, KIB = 1 << 10, MIB = 1 << 20 };
enum { CLOCK_MILLISECONDS = 2000, CLOCK_LOOKS = 200000, MOST_SECONDS = 8 };
enum { CHAIN = 1 << 13, UNROLLED = 8, LOADS = 1 << 15, PASSES = 3 };
enum { SLICE = 16 * MIB, AHEAD = 8 * LINE, STACK = 4096, TURNS = 100000000 };
static const uint64_t PICOSECONDS = 1000000000000;

static uint64_t hertz = TIME_BASE_HERTZ;

static uint64_t picoseconds(uint64_t ticks, uint64_t count)
{
    return ticks * (PICOSECONDS / hertz) / count;
}

// Milliseconds of the clock, just after they have changed; 0 where they do not.
static uint64_t changed_clock(uint64_t than, uint64_t *ticks)
{
    uint64_t start = time_base();
    for (int look = 0; look < CLOCK_LOOKS; look++) {
        uint64_t now = smc_clock();
        *ticks = time_base();
        if (!now || *ticks - start > (uint64_t)MOST_SECONDS * TIME_BASE_HERTZ) {
            return 0;
        }
        if (now > than) {
            return now;
        }
    }
    return 0;
}

void speed_of_time_base(void)
{
    uint64_t first = 0, last = 0, now = smc_clock();
    uint64_t start = now ? changed_clock(now, &first) : 0;
    uint64_t end = start ? changed_clock(start + CLOCK_MILLISECONDS - 1, &last) : 0;
    uint64_t measured = end ? (last - first) * 1000 / (end - start) : 0;
    if (measured) {
        hertz = measured;
    }
    page_start("timebase");
    page_decimal(measured);
    page_end_line();
}

static uint64_t time_of_fmadds(void)
{
    double value = 1.0, factor = 1.0, added = 0.0;
    uint64_t start = time_base();
    for (int i = 0; i < CHAIN / UNROLLED; i++) {
        __asm__ volatile(".rept 8\n\tfmadds %0, %0, %1, %2\n\t.endr" : "+d"(value) : "d"(factor), "d"(added));
    }
    return time_base() - start;
}

static uint64_t time_of_vmaddfp(void)
{
    Vector value = vector_of(1.0f), factor = value, added = vector_zero();
    uint64_t start = time_base();
    for (int i = 0; i < CHAIN / UNROLLED; i++) {
        __asm__ volatile(".rept 8\n\tvmaddfp %0, %0, %1, %2\n\t.endr" : "+v"(value) : "v"(factor), "v"(added));
    }
    return time_base() - start;
}

static uint64_t least_of(uint64_t (*ticks)(void))
{
    uint64_t least = ticks();
    for (int pass = 1; pass < PASSES; pass++) {
        uint64_t next = ticks();
        least = next < least ? next : least;
    }
    return least;
}

// Picoseconds from a result to its next use.
void speed_of_chains(void)
{
    page_start("chain");
    page_decimal(picoseconds(least_of(time_of_fmadds), CHAIN));
    page_decimal(picoseconds(least_of(time_of_vmaddfp), CHAIN));
    page_end_line();
}

// The least ticks of following pointers through lines of a range, in an order that no prefetcher guesses: a generator with a
// period of all of them, as far as LOADS.
static uint64_t time_of_loads(uint64_t base, uint64_t lines)
{
    uint64_t place = 0, count = lines < LOADS ? lines : LOADS;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t next = i + 1 < count ? (place * 1103515245 + 12345) & (lines - 1) : 0;
        *(uint64_t *)(base + place * LINE) = base + next * LINE;
        place = next;
    }
    uint64_t at = base, least = ~0ull;
    for (int pass = 0; pass < PASSES; pass++) {
        uint64_t start = time_base();
        for (int i = 0; i < LOADS; i++) {
            at = *(volatile const uint64_t *)at;
        }
        uint64_t ticks = time_base() - start;
        least = ticks < least ? ticks : least;
    }
    return least;
}

static void latencies(uint64_t base)
{
    static const uint64_t SIZES[] = {16 * KIB, 256 * KIB, 64 * MIB};
    uint64_t taken[3];
    page_start("latency");
    for (int i = 0; i < 3; i++) {
        taken[i] = picoseconds(time_of_loads(base, SIZES[i] / LINE), LOADS);
        page_decimal(taken[i]);
    }
    page_end_line();
    page_start("cached");
    page_decimal(taken[2] > 4 * taken[0]);
    page_end_line();
}

typedef struct {
    _Alignas(LINE) _Atomic int32_t ready;
    _Atomic int32_t done;
    _Atomic int32_t *go;
    uint64_t start;  // of a slice
    int ahead;
} Reader;

static void read_slice(const Reader *reader)
{
    uint64_t sum = 0;
    for (uint64_t place = reader->start, end = place + SLICE; place < end; place += LINE) {
        if (reader->ahead) {
            __asm__ volatile("dcbt 0, %0" ::"r"(place + AHEAD));
        }
        sum += *(volatile const uint64_t *)place;
    }
    (void)sum;
}

static int await(_Atomic int32_t *word)
{
    for (int turn = 0; turn < TURNS && !*word; turn++) {
    }
    return *word;
}

// Waits until a thread has ended its last task.
static int await_rest(int thread)
{
    for (int turn = 0; turn < TURNS && xell_mailboxes[thread].stack_end; turn++) {
    }
    return !xell_mailboxes[thread].stack_end;
}

static void run_reader(void *argument)
{
    Reader *reader = argument;
    reader->ready = 1;
    if (await(reader->go)) {
        read_slice(reader);
    }
    reader->done = 1;
}

// Megabytes a second that these threads, a bit for each and thread 0 among them, read together; 0 where one of them
// does not come.
static uint64_t read_together(unsigned threads, uint64_t base, int ahead)
{
    static Reader readers[XELL_THREADS];
    static _Alignas(16) char stacks[XELL_THREADS][STACK];
    static _Alignas(LINE) _Atomic int32_t go;
    uint64_t slices = 0;
    int all = 1;
    go = 0;
    for (int i = 0; i < XELL_THREADS; i++) {
        if (threads >> i & 1) {
            all &= await_rest(i);
            readers[i] = (Reader){.go = &go, .start = base + slices++ * SLICE, .ahead = ahead};
            all &= !i || xell_start_task(i, stacks[i] + STACK, run_reader, &readers[i]);
        }
    }
    for (int i = 1; i < XELL_THREADS; i++) {
        all &= !(threads >> i & 1) || (all && await(&readers[i].ready));
    }
    uint64_t start = time_base();
    go = 1;
    read_slice(&readers[0]);
    for (int i = 1; i < XELL_THREADS; i++) {
        all &= !(threads >> i & 1) || (all && await(&readers[i].done));
    }
    uint64_t ticks = time_base() - start;
    return all && ticks ? slices * SLICE * (hertz / 1000) / ticks / 1000 : 0;
}

static void read_line(const char *label, unsigned threads, uint64_t base, int ahead)
{
    page_start(label);
    page_hexadecimal(threads, 2);
    page_decimal(read_together(threads, base, ahead));
    page_end_line();
}

void speed_of_memory(void)
{
    // Both threads of a core, one of each core, all.
    static const unsigned GROUPS[] = {0x01, 0x03, 0x05, 0x15, 0x3f};
    Range range = heap_largest();
    if (range.end - range.start < XELL_THREADS * (uint64_t)SLICE + AHEAD) {
        return;
    }
    latencies(range.start);
    read_line("load", 1, range.start, 0);
    for (uint64_t i = 0; i < sizeof GROUPS / sizeof *GROUPS; i++) {
        if ((GROUPS[i] & ~xell_arrived()) == 0) {
            read_line("read", GROUPS[i], range.start, 1);
        }
    }
}
