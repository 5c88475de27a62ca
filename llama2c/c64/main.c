// The Commodore 64 as a program of the console: c64 PROGRAM REU|- REU_BYTES KEYS [dump]
// Files of the program, of what the REU holds at first, and of the keys to type. Standard output gets records: four
// letters, the bytes that follow (32 bits), and these bytes. Numbers are big-endian. See xenon/c64/records.py.
#include "machine.h"
#include "memory.h"
#include "platform.h"
#include "text.h"

enum { SLICE = 500000 };  // cycles between two looks at the screen
enum { HEAD_BYTES = 24, PICTURE_BYTES = HEAD_BYTES + 2 * SCREEN_BYTES + 3, STOP_BYTES = 36 };
enum { MOST_PROGRAM = RAM_BYTES + 2, MOST_KEYS = 65536 };

static Machine machine;
static uint8_t picture[PICTURE_BYTES];
static uint64_t keys_shown;  // that were typed when the last picture was sent

static uint8_t *put(uint8_t *to, uint64_t value, int bytes)
{
    for (int byte = bytes - 1; byte >= 0; byte--) {
        *to++ = (uint8_t)(value >> 8 * byte);
    }
    return to;
}

static void send(const char *kind, const uint8_t *data, uint32_t bytes)
{
    uint8_t head[8];
    memcpy(head, kind, 4);
    put(head + 4, bytes, 4);
    platform_write(STANDARD_OUTPUT, head, sizeof head);
    platform_write(STANDARD_OUTPUT, data, bytes);
}

// A picture of the screen, if it is another than the last one, or a key has been typed since.
static void show(int always)
{
    const uint8_t *screen = machine.ram + SCREEN, *colours = machine.io + (COLOUR & (IO_BYTES - 1));
    int changed = always || machine.keys_typed != keys_shown;
    for (int cell = 0; cell < SCREEN_BYTES && !changed; cell++) {
        changed = picture[HEAD_BYTES + cell] != screen[cell];
    }
    if (!changed) {
        return;
    }
    uint8_t *to = put(put(put(picture, machine.cycles, 8), machine.instructions, 8), machine.keys_typed, 8);
    memcpy(to, screen, SCREEN_BYTES);
    memcpy(to + SCREEN_BYTES, colours, SCREEN_BYTES);
    to += 2 * SCREEN_BYTES;
    *to++ = machine.io[0x18];
    *to++ = machine.io[0x20];
    *to = machine.io[0x21];
    keys_shown = machine.keys_typed;
    send("SCRN", picture, PICTURE_BYTES);
}

static void send_stop(Stop stop)
{
    uint8_t data[STOP_BYTES];
    uint8_t *to = put(data, stop, 2);
    to = put(put(to, machine.pc, 2), machine.ram[machine.pc], 1);
    to = put(put(put(put(put(to, machine.a, 1), machine.x, 1), machine.y, 1), machine.s, 1), machine.p, 1);
    to = put(put(to, machine.cycles, 8), machine.instructions, 8);
    put(put(to, machine.rom_reads, 8), machine.rom_read_address, 2);
    send("STOP", data, STOP_BYTES);
}

// The bytes of a file, their number at *bytes; NULL, and a message, where it cannot be read.
static uint8_t *read_file(const char *path, uint64_t most, uint64_t room, uint64_t *bytes)
{
    int64_t handle = platform_open(path);
    int64_t size = handle < 0 ? handle : platform_size(handle);
    if (size < 0 || (uint64_t)size > most) {
        refuse(path, 0, size < 0 ? "cannot be read" : "is too large");
        return 0;
    }
    uint8_t *data = platform_allocate("file", room > (uint64_t)size ? room : (uint64_t)size + 1);
    if (!data || platform_read(handle, 0, data, (uint64_t)size) < 0) {
        refuse(path, 0, "cannot be read");
        return 0;
    }
    *bytes = (uint64_t)size;
    return data;
}

static int run(void)
{
    Stop stop = RUNNING;
    show(1);
    while (stop == RUNNING) {
        stop = machine_run(&machine, machine.cycles + SLICE);
        show(0);
    }
    show(1);
    send_stop(stop);
    return 0;
}

int main(int count, char **arguments)
{
    uint64_t reu_bytes = 0, program_bytes = 0, ignored = 0;
    if (count < 5 || !parse_unsigned(arguments[3], &reu_bytes)) {
        print(STANDARD_ERROR, "usage: c64 PROGRAM REU|- REU_BYTES KEYS [dump]\n");
        return 2;
    }
    uint8_t *reu = 0;
    if (strcmp(arguments[2], "-") != 0) {
        reu = read_file(arguments[2], reu_bytes, reu_bytes, &ignored);
    } else if (reu_bytes) {
        reu = platform_allocate("REU", reu_bytes);
    }
    uint8_t *program = read_file(arguments[1], MOST_PROGRAM, 0, &program_bytes);
    uint64_t key_count = 0;
    uint8_t *keys = read_file(arguments[4], MOST_KEYS, 0, &key_count);
    if ((reu_bytes && !reu) || !program || !keys) {
        return 1;
    }
    machine_reset(&machine, reu, (uint32_t)reu_bytes);
    machine.keys = keys;
    machine.key_count = key_count;
    if (!machine_load(&machine, program, program_bytes)) {
        return !refuse(arguments[1], 0, "does not fit into memory at its address");
    }
    int status = run();
    if (count > 5) {
        send("RAM ", machine.ram, RAM_BYTES);
        send("REU ", reu, (uint32_t)reu_bytes);
    }
    return status;
}
