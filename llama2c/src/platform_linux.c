// The platform as a Linux/ppc64 kernel serves it: raw system calls, numbers and structures of
// arch/powerpc/kernel/syscalls/syscall.tbl; also where the program starts.
#include "platform.h"

#include "memory.h"
#include "text.h"

enum { SYS_EXIT_GROUP = 234, SYS_READ = 3, SYS_WRITE = 4, SYS_MMAP = 90, SYS_POLL = 167, SYS_PRCTL = 171,
       SYS_PREAD64 = 179, SYS_FUTEX = 221, SYS_CLOCK_GETTIME = 246, SYS_OPENAT = 286, SYS_LSEEK = 19 };
enum { FUTEX_WAIT = 0, FUTEX_WAKE = 1 };
enum { O_RDWR = 2, PAGE = 4096 };
enum { POLLIN = 1 };
enum { EIO = 5, EINTR = 4, AT_FDCWD = -100, SEEK_END = 2, CLOCK_MONOTONIC = 1 };
enum { PROT_READ = 1, PROT_WRITE = 2, MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_ANONYMOUS = 0x20, MAP_FAILED_LIMIT = 4095 };
enum { PR_SET_VMA = 0x53564d41, PR_SET_VMA_ANON_NAME = 0 };
// The console's own calls, in the manner of libxenon's xenon_run_thread_task; a Linux kernel answers ENOSYS.
enum { SYS_THREAD_COUNT = 0x7800, SYS_RUN_THREAD_TASK = 0x7801, SYS_END_THREAD_TASK = 0x7803,
       SYS_THREADS_AT_ONCE = 0x7804 };
enum { AT_NULL = 0, AT_HWCAP = 16, PPC_FEATURE_HAS_ALTIVEC = 0x10000000 };

static const uint64_t PHYSICAL = 0x1fffffff;  // the part of an address that the GPU sees
enum { GPU_WINDOW = 0x10000 };                // bytes of registers

static uint64_t hardware_capabilities;
static volatile uint32_t *gpu_registers;

// The kernel's convention: number in r0, arguments in r3 to r8, result in r3, CR0.SO set when r3 is an errno.
static int64_t system_call(int64_t number, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f)
{
    register int64_t r0 __asm__("r0") = number;
    register int64_t r3 __asm__("r3") = a;
    register int64_t r4 __asm__("r4") = b;
    register int64_t r5 __asm__("r5") = c;
    register int64_t r6 __asm__("r6") = d;
    register int64_t r7 __asm__("r7") = e;
    register int64_t r8 __asm__("r8") = f;
    __asm__ volatile("sc\n\tbns+ 1f\n\tneg %1, %1\n1:"
                     : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6), "+r"(r7), "+r"(r8)
                     :
                     : "memory", "cr0", "ctr", "xer", "r9", "r10", "r11", "r12");
    return r3;
}

int64_t platform_open(const char *path)
{
    return system_call(SYS_OPENAT, AT_FDCWD, (int64_t)path, 0, 0, 0, 0);
}

int64_t platform_size(int64_t handle)
{
    return system_call(SYS_LSEEK, handle, 0, SEEK_END, 0, 0, 0);
}

int64_t platform_read(int64_t handle, uint64_t offset, void *buffer, uint64_t size)
{
    uint64_t done = 0;
    while (done < size) {
        int64_t got = system_call(SYS_PREAD64, handle, (int64_t)((char *)buffer + done), (int64_t)(size - done),
                                  (int64_t)(offset + done), 0, 0);
        if (got == -EINTR) {
            continue;
        }
        if (got <= 0) {
            return got < 0 ? got : -EIO;
        }
        done += (uint64_t)got;
    }
    return 0;
}

static void *map(uint64_t size, int64_t protection, int64_t flags, int64_t handle)
{
    int64_t address = system_call(SYS_MMAP, 0, (int64_t)size, protection, flags, handle, 0);
    return address < 0 && address >= -MAP_FAILED_LIMIT ? 0 : (void *)address;
}

const void *platform_map(int64_t handle, uint64_t size)
{
    return map(size, PROT_READ, MAP_PRIVATE, handle);
}

void *platform_allocate(const char *purpose, uint64_t size)
{
    void *memory = map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (memory) {
        // A kernel that knows no names for memory refuses, and nothing is lost.
        system_call(SYS_PRCTL, PR_SET_VMA, PR_SET_VMA_ANON_NAME, (int64_t)memory, (int64_t)size, (int64_t)purpose, 0);
    }
    return memory;
}

void platform_write(int stream, const void *bytes, uint64_t size)
{
    uint64_t done = 0;
    while (done < size) {
        int64_t put = system_call(SYS_WRITE, stream, (int64_t)((const char *)bytes + done), (int64_t)(size - done), 0, 0, 0);
        if (put <= 0 && put != -EINTR) {
            if (stream > STANDARD_ERROR) {
                print(STANDARD_ERROR, "error: descriptor %d: cannot be written to\n", (int64_t)stream);
            }
            platform_exit(1);
        }
        done += put > 0 ? (uint64_t)put : 0;
    }
}

uint64_t platform_receive(void *buffer, uint64_t size)
{
    uint64_t done = 0;
    while (done < size) {
        int64_t got = system_call(SYS_READ, STANDARD_INPUT, (int64_t)((char *)buffer + done), (int64_t)(size - done), 0, 0, 0);
        if (got <= 0 && got != -EINTR) {
            break;
        }
        done += got > 0 ? (uint64_t)got : 0;
    }
    return done;
}

int platform_input_waiting(void)
{
    struct {
        int32_t descriptor;
        int16_t events, returned;
    } input = {STANDARD_INPUT, POLLIN, 0};
    return system_call(SYS_POLL, (int64_t)&input, 1, 0, 0, 0, 0) > 0;
}

uint64_t platform_nanoseconds(void)
{
    int64_t time[2] = {0, 0};
    system_call(SYS_CLOCK_GETTIME, CLOCK_MONOTONIC, (int64_t)time, 0, 0, 0, 0);
    return (uint64_t)time[0] * 1000000000u + (uint64_t)time[1];
}

int platform_thread_count(void)
{
    int64_t count = system_call(SYS_THREAD_COUNT, 0, 0, 0, 0, 0, 0);
    return count < 1 ? 1 : (int)count;
}

int platform_threads_at_once(void)
{
    int64_t count = system_call(SYS_THREADS_AT_ONCE, 0, 0, 0, 0, 0, 0);
    return count < 1 ? 1 : (int)count;
}

typedef struct {
    void (*task)(void *);
    void *argument;
} Task;

// Where a hardware thread starts, on its own stack: nobody has called it, so it does not return.
_Noreturn static void run_task(Task *given)
{
    given->task(given->argument);
    for (;;) {
        system_call(SYS_END_THREAD_TASK, 0, 0, 0, 0, 0, 0);
    }
}

int platform_run_thread_task(int thread, void *stack_end, void (*task)(void *), void *argument)
{
    // What the thread needs lies at the top of its stack, above a first frame with a back chain of 0.
    Task *given = (Task *)stack_end - 1;
    *given = (Task){task, argument};
    uint64_t *frame = (uint64_t *)given - 8;
    *frame = 0;
    return system_call(SYS_RUN_THREAD_TASK, thread, (int64_t)frame, (int64_t)run_task, (int64_t)given, 0, 0) == 0;
}

void platform_wait(_Atomic int32_t *word, int32_t value)
{
    system_call(SYS_FUTEX, (int64_t)word, FUTEX_WAIT, value, 0, 0, 0);
}

void platform_wake(_Atomic int32_t *word)
{
    system_call(SYS_FUTEX, (int64_t)word, FUTEX_WAKE, 1, 0, 0, 0);
}

int platform_has_vmx(void)
{
    return (hardware_capabilities & PPC_FEATURE_HAS_ALTIVEC) != 0;
}

// The console's kernel shows the registers under the name of a device; bare metal has them at 0xec800000.
int platform_has_gpu(void)
{
    if (!gpu_registers) {
        int64_t handle = system_call(SYS_OPENAT, AT_FDCWD, (int64_t)"/dev/xenos", O_RDWR, 0, 0, 0);
        gpu_registers = handle < 0 ? 0 : map(GPU_WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED, handle);
    }
    return gpu_registers != 0;
}

void platform_gpu_write(uint32_t index, uint32_t value)
{
    __asm__ volatile("sync" ::: "memory");
    gpu_registers[index] = value;
    __asm__ volatile("eieio" ::: "memory");
}

void platform_gpu_barrier(void)
{
    __asm__ volatile("lwsync" ::: "memory");
}

void platform_share(const void *memory)
{
    int64_t start = (int64_t)memory & -PAGE;
    system_call(SYS_PRCTL, PR_SET_VMA, PR_SET_VMA_ANON_NAME, start, PAGE, (int64_t)"shared", 0);
}

uint32_t platform_physical(const volatile void *address)
{
    return (uint32_t)((uint64_t)address & PHYSICAL);
}

void platform_exit(int status)
{
    for (;;) {
        system_call(SYS_EXIT_GROUP, status, 0, 0, 0, 0, 0);
    }
}

// Called by start.S with the kernel's initial stack: argc, argv, NULL, environment, NULL, auxiliary vector.
_Noreturn void platform_start(int64_t *stack)
{
    int64_t argument_count = stack[0];
    char **arguments = (char **)(stack + 1);
    int64_t *next = stack + 1 + argument_count + 1;
    while (*next++) {
    }
    for (; next[0] != AT_NULL; next += 2) {
        if (next[0] == AT_HWCAP) {
            hardware_capabilities = (uint64_t)next[1];
        }
    }
    extern int main(int, char **);
    platform_exit(main((int)argument_count, arguments));
}
