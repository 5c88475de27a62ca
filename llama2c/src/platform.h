// What the port asks of the machine it runs on. platform_linux.c answers for Linux/ppc64, platform_host.c for the
// reference library; a bare-metal port writes one more and changes nothing else.
#ifndef PLATFORM_H
#define PLATFORM_H

#include <stdint.h>

enum { STANDARD_INPUT = 0, STANDARD_OUTPUT = 1, STANDARD_ERROR = 2 };

// A handle, or a negative errno.
int64_t platform_open(const char *path);
// Bytes, or a negative errno.
int64_t platform_size(int64_t handle);
// Reads exactly size bytes at offset: 0, or a negative errno (-EIO where the file ends early).
int64_t platform_read(int64_t handle, uint64_t offset, void *buffer, uint64_t size);
// The file's first size bytes where the disc has them, aligned to a page; NULL when there is no room.
const void *platform_map(int64_t handle, uint64_t size);
// Zeroed memory aligned to a page, told to the machine under a purpose; NULL when there is no room.
void *platform_allocate(const char *purpose, uint64_t size);
void platform_write(int stream, const void *bytes, uint64_t size);
// Reads size bytes of the standard input: their number, which is less where the input ends.
uint64_t platform_receive(void *buffer, uint64_t size);
// Whether the standard input has something to read, or has ended. Does not wait.
int platform_input_waiting(void);
uint64_t platform_nanoseconds(void);
int platform_has_vmx(void);
// Hardware threads of the machine, the caller's own among them; 1 where only that one can be had.
int platform_thread_count(void);
// How many of them would run at the same time at the moment; more would only wait for each other.
int platform_threads_at_once(void);
// Starts task(argument) on hardware thread 1 or above, on a stack that grows down from its end; the task may never
// return. 0 where the thread cannot be had.
int platform_run_thread_task(int thread, void *stack_end, void (*task)(void *), void *argument);
// Sleeps while the word has this value, until another thread wakes it; may return early. A machine without sleep
// returns at once.
void platform_wait(_Atomic int32_t *word, int32_t value);
// Wakes a thread that sleeps at the word.
void platform_wake(_Atomic int32_t *word);
// Whether there is a Xenos; the functions after it are for machines that have one.
int platform_has_gpu(void);
// Sets a register, by dword index, after all that was written to memory before.
void platform_gpu_write(uint32_t index, uint32_t value);
// What the GPU has written is read after this, not before.
void platform_gpu_barrier(void);
// Tells the machine that the GPU works on this allocation too.
void platform_share(const void *memory);
// Where the GPU finds what is at this address.
uint32_t platform_physical(const volatile void *address);
_Noreturn void platform_exit(int status);

#endif
