// The platform as XeLL leaves the machine: files in memory, text to the serial port and the screen, the time base as
// the clock. The program tells each step of its start, so that a photograph says where it stopped.
#include "platform.h"

#include "figures.h"
#include "memory.h"
#include "text.h"
#include "xell.h"
#include "xell_selftest.h"

enum { EIO = 5, ENOENT = 2, FIGURES_STREAM = 3, STACK_BYTES = 1 << 20 };
enum { ALL_GREEN = 0xf, FIRST_GREEN = 8, ALL_RED = 0xf };
enum { SPEED_SMALL = 1 << 20, SPEED_LARGE = 64 << 20, LINE = 128 };

static const uint64_t NANOSECONDS[2] = {8000, 399};  // of a tick: 1e9 / 49875000
static const char STORY[] = "---- story ----\n", END[] = "---- end of story ----\n";

extern const uint64_t xell_files[2];
extern const char image_end[];
_Noreturn void call_on_stack(void *stack_end, void (*function)(void));

static Device_Tree tree;
static int has_tree;
static uint64_t clock_start;  // nanoseconds
static unsigned char figures[FIGURES_BYTES];
static enum { BEFORE_STORY, IN_STORY, AFTER_STORY } part = BEFORE_STORY;
static void (*redirected)(int, const void *, uint64_t) = 0;
static int powers_off = 0;

void show(const void *bytes, uint64_t size)
{
    uart_write(bytes, size);
    screen_write(bytes, size);
}

int64_t platform_open(const char *path)
{
    int64_t handle = file_named(path);
    return handle < 0 ? -ENOENT : handle;
}

int64_t platform_size(int64_t handle)
{
    return (int64_t)file_size(handle);
}

int64_t platform_read(int64_t handle, uint64_t offset, void *buffer, uint64_t size)
{
    return file_read(handle, offset, buffer, size) ? 0 : -EIO;
}

const void *platform_map(int64_t handle, uint64_t size)
{
    return size <= file_size(handle) ? file_whole(handle) : 0;
}

void *platform_allocate(const char *purpose, uint64_t size)
{
    (void)purpose;
    return heap_take(size);
}

// The story stands between two lines of its own.
static void enter_part(int stream)
{
    if (part == BEFORE_STORY && stream == STANDARD_OUTPUT) {
        part = IN_STORY;
        show(STORY, sizeof STORY - 1);
    } else if (part == IN_STORY && stream != STANDARD_OUTPUT) {
        part = AFTER_STORY;
        show(END, sizeof END - 1);
    }
}

void platform_write(int stream, const void *bytes, uint64_t size)
{
    if (stream == FIGURES_STREAM) {
        memcpy(figures, bytes, size < sizeof figures ? size : sizeof figures);
        return;
    }
    if (redirected) {
        redirected(stream, bytes, size);
        return;
    }
    enter_part(stream);
    show(bytes, size);
}

void xell_redirect(void (*take)(int, const void *, uint64_t))
{
    redirected = take;
}

// There is no input: whoever asks sees its end.
uint64_t platform_receive(void *buffer, uint64_t size)
{
    (void)buffer;
    (void)size;
    return 0;
}

int platform_input_waiting(void)
{
    return 1;
}

uint64_t platform_nanoseconds(void)
{
    return clock_start + time_base() * NANOSECONDS[0] / NANOSECONDS[1];
}

int platform_has_vmx(void)
{
    return 1;
}

// XeLL leaves the GPU without microcode.
int platform_has_gpu(void)
{
    return 0;
}

void platform_gpu_write(uint32_t index, uint32_t value)
{
    (void)index;
    (void)value;
}

void platform_gpu_barrier(void)
{
}

void platform_share(const void *memory)
{
    (void)memory;
}

uint32_t platform_physical(const volatile void *address)
{
    return (uint32_t)(uint64_t)address;
}

static uint64_t figure(int offset)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) {
        value = value << 8 | figures[offset + i];
    }
    return value;
}

// Megabytes a second of reading size bytes twice, a load a line; -1, which prints as ?, where no time passes.
static double read_speed(Range range, uint64_t size)
{
    if (range.end - range.start < size) {
        return -1;
    }
    uint64_t start = 0, sum = 0;
    for (int pass = 0; pass < 2; pass++) {
        start = time_base();
        for (uint64_t place = range.start; place < range.start + size; place += LINE) {
            sum += *(volatile const uint64_t *)place;
        }
    }
    uint64_t ticks = time_base() - start;
    (void)sum;
    return ticks ? (double)(int64_t)size / (double)(int64_t)ticks * TIME_BASE_HERTZ / 1e6 : -1;
}

static void print_hexadecimal(const char *what, uint64_t value)
{
    char digits[9];
    for (int i = 0; i < 8; i++) {
        digits[i] = "0123456789abcdef"[value >> (28 - 4 * i) & 15];
    }
    digits[8] = 0;
    print(STANDARD_ERROR, "%s%s", what, digits);
}

double xell_tokens_per_second(void)
{
    double seconds = (double)(int64_t)figure(48) / 1e9, tokens = (double)(int64_t)figure(40);
    return seconds > 0 ? tokens / seconds : -1;
}

static void report(void)
{
    uint64_t version;
    __asm__ volatile("mfspr %0, 287" : "=r"(version));
    print_hexadecimal("report: PVR ", version);
    print(STANDARD_ERROR, ", %d threads, time base %u, ", (int64_t)__builtin_popcount(xell_arrived()), time_base());
    print(STANDARD_ERROR, "1 MiB read at %f MB/s, 64 MiB at %f MB/s, ", read_speed(heap_largest(), SPEED_SMALL),
          read_speed(heap_largest(), SPEED_LARGE));
    print(STANDARD_ERROR, "%f tokens/s\n", xell_tokens_per_second());
}

// Says so, lights the ring, switches the console off if that is wanted.
static _Noreturn void end(int status)
{
    const char *text = status       ? "ended with status %d\n"
                       : powers_off ? "the end: the console switches itself off\n"
                                    : "the end: switch the console off\n";
    print(STANDARD_ERROR, text, (int64_t)status);
    if (status) {
        smc_ring_of_light(0, ALL_RED);
    } else {
        smc_ring_of_light(ALL_GREEN, 0);
    }
    for (int i = 1; i < XELL_THREADS; i++) {
        xell_mailboxes[i].ended = 1;
    }
    if (powers_off) {
        smc_power_off();
    }
    stop();
}

void platform_exit(int status)
{
    enter_part(STANDARD_ERROR);
    report();
    end(status);
}

static void print_step(const char *what, Range range)
{
    print_hexadecimal(what, range.start);
    print_hexadecimal(" to ", range.end);
    print(STANDARD_ERROR, "\n");
}

static void print_arguments(char **arguments, int count)
{
    print(STANDARD_ERROR, "options:");
    for (int i = 1; i < count; i++) {
        platform_write(STANDARD_ERROR, " ", 1);
        platform_write(STANDARD_ERROR, arguments[i], strlen(arguments[i]));
    }
    print(STANDARD_ERROR, "\n");
}

static void run(void)
{
    static char *arguments[XELL_ARGUMENTS + 1] = {"xenon-llm", "model.bin", "-z", "tokenizer.bin", "-r", "3"};
    int count = arguments_of_file(arguments, 6);
    count = arguments_of_line(tree.arguments, arguments, count);
    int tests = 0;
    count = arguments_without(arguments, count, "--self-test", &tests);
    count = arguments_without(arguments, count, "--power-off", &powers_off);
    if (tests) {
        selftest();
        end(0);
    }
    int64_t model = file_named(arguments[1]);
    print(STANDARD_ERROR, "model: %u bytes\n", model < 0 ? 0 : file_size(model));
    print_arguments(arguments, count);
    extern int main(int, char **);
    platform_exit(main(count, arguments));
}

// Called by xell_start.S on a first small stack.
_Noreturn void xell_main(uint64_t tree_address)
{
    uart_write("\n", 1);
    uint64_t screen = screen_start();
    exceptions_start();
    print(STANDARD_ERROR, "xenon-llm: started by XeLL\n");
    has_tree = device_tree_read(&tree, tree_address);
    print_hexadecimal(has_tree ? "device tree: " : "no device tree: ", tree_address);
    print(STANDARD_ERROR, "\n");
    Range image = {xell_files[0], xell_files[0] + xell_files[1]};
    uint64_t end = image.end > (uint64_t)image_end ? image.end : (uint64_t)image_end;
    print_step("image: ", (Range){0x10000, end});
    heap_start(&tree, end, screen);
    print_step("largest free RAM: ", heap_largest());
    clock_start = smc_clock() * 1000000;
    print(STANDARD_ERROR, "clock: %u ms, ", clock_start / 1000000);
    print(STANDARD_ERROR, "threads: %d\n", (int64_t)__builtin_popcount(xell_arrived()));
    smc_ring_of_light(FIRST_GREEN, 0);
    if (tree.initrd.end > tree.initrd.start) {
        print_step("initrd: ", tree.initrd);
        if (!files_add(tree.initrd)) {
            print(STANDARD_ERROR, "the initrd holds neither files of xenon-llm nor a checkpoint\n");
        }
    }
    if (xell_files[1] && !files_add(image)) {
        print(STANDARD_ERROR, "the files in the image are damaged\n");
    }
    char *stack = heap_take(STACK_BYTES);
    if (!stack) {
        print(STANDARD_ERROR, "no memory is free for a stack\n");
        stop();
    }
    call_on_stack(stack + STACK_BYTES, run);
}
