// The platform of the reference library: a disc, a memory and a terminal that its caller hands over as buffers and
// functions, so that the library needs no operating system and no C library. One machine to a process.
#include "platform_host.h"

#include "memory.h"

enum { EIO = 5, ENOENT = 2, PAGE = 4096 };

static Host host;

void host_use(const Host *given)
{
    host = *given;
}

int64_t platform_open(const char *path)
{
    for (int64_t i = 0; i < host.file_count; i++) {
        if (strcmp(host.files[i].path, path) == 0) {
            return i;
        }
    }
    return -ENOENT;
}

int64_t platform_size(int64_t handle)
{
    return (int64_t)host.files[handle].size;
}

int64_t platform_read(int64_t handle, uint64_t offset, void *buffer, uint64_t size)
{
    const Host_File *file = &host.files[handle];
    if (offset > file->size || size > file->size - offset) {
        return -EIO;
    }
    memcpy(buffer, file->bytes + offset, size);
    return 0;
}

const void *platform_map(int64_t handle, uint64_t size)
{
    return size <= host.files[handle].size ? host.files[handle].bytes : 0;
}

void *platform_allocate(const char *purpose, uint64_t size)
{
    (void)purpose;
    uint64_t rounded = (size + PAGE - 1) / PAGE * PAGE;
    if (rounded < size || rounded > host.memory_size) {
        return 0;
    }
    void *memory = host.memory;
    host.memory += rounded;
    host.memory_size -= rounded;
    return memory;
}

void platform_write(int stream, const void *bytes, uint64_t size)
{
    host.write(stream, bytes, size);
}

uint64_t platform_receive(void *buffer, uint64_t size)
{
    (void)buffer;
    (void)size;
    return 0;
}

int platform_input_waiting(void)
{
    return 0;
}

uint64_t platform_nanoseconds(void)
{
    return host.nanoseconds();
}

int platform_thread_count(void)
{
    return 1;
}

int platform_threads_at_once(void)
{
    return 1;
}

int platform_run_thread_task(int thread, void *stack_end, void (*task)(void *), void *argument)
{
    (void)thread;
    (void)stack_end;
    (void)task;
    (void)argument;
    return 0;
}

void platform_wait(_Atomic int32_t *word, int32_t value)
{
    (void)word;
    (void)value;
}

void platform_wake(_Atomic int32_t *word)
{
    (void)word;
}

int platform_has_vmx(void)
{
    return 1;
}

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
    (void)address;
    return 0;
}

void platform_exit(int status)
{
    (void)status;
    __builtin_trap();  // only a platform whose writes can fail comes here
}
