// What a caller of the reference library hands over in place of a machine.
#ifndef PLATFORM_HOST_H
#define PLATFORM_HOST_H

#include "platform.h"

typedef struct {
    const char *path;
    const char *bytes;  // aligned to a page
    uint64_t size;
} Host_File;

typedef struct {
    const Host_File *files;
    int64_t file_count;
    char *memory;  // zeroed, aligned to a page
    uint64_t memory_size;
    void (*write)(int stream, const void *bytes, uint64_t size);
    uint64_t (*nanoseconds)(void);
} Host;

void host_use(const Host *given);

#endif
