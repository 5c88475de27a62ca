// The driver of Xenos: a ring buffer and command buffers of PM4 packets (docs/gpu.md). Names and numbers are those of
// xenia and libxenon.
#ifndef GPU_H
#define GPU_H

#include <stdint.h>

// A command buffer being recorded. What is past its room is counted and not written.
typedef struct {
    uint32_t *words;
    uint32_t count;  // of dwords so far
    uint32_t room;   // in dwords
} Commands;

typedef struct {
    uint32_t *ring;
    volatile uint32_t *fence;    // where the GPU writes the number of the last submission it has finished
    uint32_t write_pointer;      // in dwords
    uint32_t submissions;
} Gpu;

typedef struct {
    const void *address;  // in unified memory
    uint64_t words;
    int number_bytes;  // of its numbers: 1, 2, or 4, for which 0 stands as well
} Gpu_Array;

enum { GPU_MOST_COMMANDS = (1 << 20) - 1 };  // dwords of a command buffer

// Finds the GPU, allocates its ring buffer and starts the command processor: 1; 0 when there is no GPU, -1 when there
// is no room.
int gpu_start(Gpu *gpu);

// Recording. One execution of a program: the arrays are vf0 and following, of numbers in the byte order of the
// CPU; the shapes are i0 and following.
void gpu_draw(Commands *commands, const uint32_t *program, const Gpu_Array *arrays, int n_arrays, const int *shapes,
              int n_shapes);
void gpu_float_constant(Commands *commands, int index, float value);
void gpu_loop_constant(Commands *commands, int index, uint32_t value);

// The header (GPU_PROGRAM_WORDS) that names a program.
void gpu_name_program(uint32_t *header, const char *name);
// What CPUs have written is seen by the commands submitted from now on.
void gpu_invalidate(Gpu *gpu);
// Submitting: constants for this time, then the recorded buffer, then a fence to wait for.
void gpu_set_loop(Gpu *gpu, int index, uint32_t value);
void gpu_set_float(Gpu *gpu, int index, float value);
void gpu_call(Gpu *gpu, const Commands *commands);
// Starts what was submitted and waits until it is done: 1, or 0 when the GPU does not answer within seconds.
int gpu_finish(Gpu *gpu);

#endif
