// The driver of Xenos: sets up the ring buffer, records PM4 packets, submits them and waits for the fence.
#include "gpu.h"

#include "allocations.h"
#include "memory.h"
#include "platform.h"

// Registers, by dword index.
enum { CP_RB_BASE = 0x01c0, CP_RB_CNTL = 0x01c1, CP_RB_RPTR_ADDR = 0x01c3, CP_RB_WPTR = 0x01c5, CP_ME_CNTL = 0x01f6,
       COHER_SIZE_HOST = 0x0a2f, COHER_STATUS_HOST = 0x0a31 };
static const uint32_t RESET_POINTERS = 0x80000000, NO_UPDATE = 0x08000000, SWAP_8_IN_16 = 1, SWAP_8_IN_32 = 2, COHER_BUSY = 0x80000000;
// Packets of type 3.
enum { IM_LOAD = 0x27, SET_CONSTANT = 0x2d, DRAW_INDX_2 = 0x36, WAIT_REG_MEM = 0x3c, INDIRECT_BUFFER = 0x3f,
       ME_INIT = 0x48, EVENT_WRITE_SHD = 0x58 };
enum { FLOAT = 0, FETCH = 1, LOOP = 3 };  // kinds of constants
enum { CACHE_FLUSH_TS = 4, WAIT_EQUAL = 3, ME_INIT_WORDS = 18, VERTEX_FETCH = 3 };
static const uint32_t DRAW_POINT = 0x00010081;  // one auto-indexed point

enum { LOG2_RING_QUADWORDS = 8 };
_Static_assert(GPU_RING_WORDS == 2 << LOG2_RING_QUADWORDS, "the ring's size has two names");
static const uint32_t RAM_BYTES = 0x20000000;
static const uint64_t PATIENCE = 10000000000u;  // nanoseconds that a submission may take
enum { LOOKS = 1 << 16 };                       // at the fence between two looks at the clock

static uint32_t type_3(uint32_t opcode, uint32_t count)
{
    return 0xc0000000 | (count - 1) << 16 | opcode << 8;
}

static uint32_t bits_of(float value)
{
    union {
        float value;
        uint32_t bits;
    } both = {.value = value};
    return both.bits;
}

// A physical address with the endian mode in its low bits, as packets and registers want it.
static uint32_t target(const volatile void *address)
{
    return platform_physical(address) | SWAP_8_IN_32;
}

static void emit(Commands *commands, uint32_t word)
{
    if (commands->count < commands->room) {
        commands->words[commands->count] = word;
    }
    commands->count++;
}

static void put(Gpu *gpu, uint32_t word)
{
    gpu->ring[gpu->write_pointer] = word;
    gpu->write_pointer = (gpu->write_pointer + 1) % GPU_RING_WORDS;
}

int gpu_start(Gpu *gpu)
{
    if (!platform_has_gpu()) {
        return 0;
    }
    char *memory = allocate(MEMORY_GPU_RING, (Extents){0});
    if (!memory) {
        return -1;
    }
    *gpu = (Gpu){.ring = (uint32_t *)(void *)memory, .fence = (volatile uint32_t *)(void *)(memory + 4 * GPU_RING_WORDS)};
    platform_gpu_write(CP_ME_CNTL, 0);
    platform_gpu_write(CP_RB_BASE, platform_physical(gpu->ring));
    platform_gpu_write(CP_RB_CNTL, RESET_POINTERS | NO_UPDATE | SWAP_8_IN_32 << 16 | LOG2_RING_QUADWORDS);
    put(gpu, type_3(ME_INIT, ME_INIT_WORDS));
    for (int i = 0; i < ME_INIT_WORDS; i++) {
        put(gpu, 0);
    }
    return 1;
}

static uint32_t endian_mode(int number_bytes)
{
    return number_bytes == 1 ? 0 : number_bytes == 2 ? SWAP_8_IN_16 : SWAP_8_IN_32;
}

void gpu_draw(Commands *commands, const uint32_t *program, const Gpu_Array *arrays, int n_arrays, const int *shapes,
              int n_shapes)
{
    emit(commands, type_3(SET_CONSTANT, 1 + 2 * (uint32_t)n_arrays));
    emit(commands, FETCH << 16);
    for (int i = 0; i < n_arrays; i++) {
        emit(commands, platform_physical(arrays[i].address) | VERTEX_FETCH);
        emit(commands, (uint32_t)arrays[i].words << 2 | endian_mode(arrays[i].number_bytes));
    }
    emit(commands, type_3(SET_CONSTANT, 1 + (uint32_t)n_shapes));
    emit(commands, LOOP << 16);
    for (int i = 0; i < n_shapes; i++) {
        emit(commands, (uint32_t)shapes[i]);
    }
    emit(commands, type_3(IM_LOAD, 2));
    emit(commands, platform_physical(program));
    emit(commands, GPU_PROGRAM_WORDS);
    emit(commands, type_3(DRAW_INDX_2, 1));
    emit(commands, DRAW_POINT);
}

void gpu_float_constant(Commands *commands, int index, float value)
{
    emit(commands, type_3(SET_CONSTANT, 2));
    emit(commands, FLOAT << 16 | (uint32_t)(4 * index));
    emit(commands, bits_of(value));
}

void gpu_loop_constant(Commands *commands, int index, uint32_t value)
{
    emit(commands, type_3(SET_CONSTANT, 2));
    emit(commands, LOOP << 16 | (uint32_t)index);
    emit(commands, value);
}

void gpu_name_program(uint32_t *header, const char *name)
{
    memset(header, 0, GPU_PROGRAM_WORDS * sizeof(uint32_t));
    header[0] = 0x58505247;  // "XPRG"
    header[1] = 1;
    memcpy(header + 2, name, strlen(name));
}

// As libxenon does before each frame: the whole of RAM, and a wait until it is done.
void gpu_invalidate(Gpu *gpu)
{
    put(gpu, 2 << 16 | COHER_SIZE_HOST);  // type 0: size, base, status
    put(gpu, RAM_BYTES);
    put(gpu, 0);
    put(gpu, COHER_BUSY);
    put(gpu, type_3(WAIT_REG_MEM, 5));
    put(gpu, WAIT_EQUAL);
    put(gpu, COHER_STATUS_HOST);
    put(gpu, 0);
    put(gpu, COHER_BUSY);
    put(gpu, 0);
}

void gpu_set_loop(Gpu *gpu, int index, uint32_t value)
{
    put(gpu, type_3(SET_CONSTANT, 2));
    put(gpu, LOOP << 16 | (uint32_t)index);
    put(gpu, value);
}

void gpu_set_float(Gpu *gpu, int index, float value)
{
    put(gpu, type_3(SET_CONSTANT, 2));
    put(gpu, FLOAT << 16 | (uint32_t)(4 * index));
    put(gpu, bits_of(value));
}

void gpu_call(Gpu *gpu, const Commands *commands)
{
    put(gpu, type_3(INDIRECT_BUFFER, 2));
    put(gpu, platform_physical(commands->words));
    put(gpu, commands->count);
}

int gpu_finish(Gpu *gpu)
{
    uint32_t number = ++gpu->submissions;
    put(gpu, type_3(EVENT_WRITE_SHD, 3));
    put(gpu, CACHE_FLUSH_TS);
    put(gpu, target(gpu->fence));
    put(gpu, number);
    platform_gpu_write(CP_RB_WPTR, gpu->write_pointer);
    for (uint64_t start = 0; *gpu->fence != number;) {
        uint64_t now = platform_nanoseconds();
        start = start ? start : now;
        if (now - start > PATIENCE) {
            return 0;
        }
        for (int i = 0; i < LOOKS && *gpu->fence != number; i++) {
        }
    }
    platform_gpu_barrier();
    return 1;
}
