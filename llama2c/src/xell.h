// The machine as XeLL leaves it: 64-bit real mode, RAM from 0, devices at fixed addresses, no operating system.
// Every wait is bounded by turns as well as by time, so that a device that does not answer stops nothing.
#ifndef XELL_H
#define XELL_H

#include <stdint.h>

enum { XELL_THREADS = 6, XELL_ARGUMENTS = 64, XELL_ARGUMENT_BYTES = 1024 };

typedef struct {
    uint64_t start, end;
} Range;

// What the flattened device tree says; zero where it says nothing.
typedef struct {
    Range tree, initrd;
    uint64_t memory_end;
    char arguments[XELL_ARGUMENT_BYTES];
} Device_Tree;

// Reads the tree at an address; 0 where there is none.
int device_tree_read(Device_Tree *tree, uint64_t address);

// Each adds words to the arguments, of which there are count already: how many there are then. The words of a line,
// where -i takes all that follows it; the texts of the packed file "arguments".
int arguments_of_line(char *line, char **arguments, int count);
int arguments_of_file(char **arguments, int count);
// Takes a word out of the arguments, if it is not the prompt: how many are left.
int arguments_without(char **arguments, int count, const char *word, int *is_there);

// A thread's mailbox: the thread sets arrived, waits for a stack, and runs task(argument) on it. The offsets are in
// xell_start.S as well.
typedef struct {
    _Alignas(128) _Atomic int32_t arrived;
    _Atomic int32_t ended;  // the program, so that the thread stops
    _Atomic(void *) stack_end;
    void (*task)(void *);
    void *argument;
} Mailbox;

extern Mailbox xell_mailboxes[XELL_THREADS];
// Gives a task to a thread by its number; 0 where it has not arrived, or has another task.
int xell_start_task(int thread, void *stack_end, void (*task)(void *), void *argument);
// Hardware threads that have come, a bit for each.
unsigned xell_arrived(void);
// From now on, the port uses no more threads than these.
void xell_limit_threads(int most);
// Streams of the port go to this function, and not to the screen and the serial port; NULL: they go there again.
void xell_redirect(void (*take)(int stream, const void *bytes, uint64_t size));
// Of the steps behind the prompt of the last story under -r; -1 where nobody has measured them.
double xell_tokens_per_second(void);

// Sends text; CR goes before LF. After a first timeout the serial port counts as absent.
void uart_write(const void *bytes, uint64_t size);
// Milliseconds since 2001-11-15 00:00 UTC; 0 where the SMC does not answer.
uint64_t smc_clock(void);
// The ring of light: a bit for each quadrant.
void smc_ring_of_light(unsigned green, unsigned red);
// Switches the console off; comes back where the SMC does not answer.
void smc_power_off(void);

// Ticks of the time base, which stands still where nobody has started it.
uint64_t time_base(void);
enum { TIME_BASE_HERTZ = 49875000 };

// RAM above the image, without what still holds something.
void heap_start(const Device_Tree *tree, uint64_t image_end, uint64_t screen);
// Zeroed, aligned to a page; NULL when there is no room.
void *heap_take(uint64_t size);
// The largest range that nobody has taken.
Range heap_largest(void);

// The files in a range of memory: an archive, or a lone model. 0 where it is neither.
int files_add(Range range);
int64_t file_named(const char *name);
uint64_t file_size(int64_t handle);
int file_read(int64_t handle, uint64_t offset, void *buffer, uint64_t size);
// The file in one piece: where it lies, or a copy of what lies in several places; NULL when there is no room.
const void *file_whole(int64_t handle);

// Puts a handler behind every exception vector, which prints what the registers hold and stops.
void exceptions_start(void);
// While it is PROBING, an exception of thread 0 leaves its vector here, and the program goes on behind the instruction.
extern volatile int32_t xell_probe;
enum { PROBING = 1 };
// In xell_start.S: instructions that may be exceptions. The last one adds 1 to a word, if it can.
void probe_dcbz(void *line);
void probe_dcbzl(void *line);
void probe_reservation(volatile uint32_t *word);
_Noreturn void stop(void);
// To the serial port and the screen.
void show(const void *bytes, uint64_t size);

// Finds the framebuffer that is on. Returns its address, 0 where there is none.
uint64_t screen_start(void);
void screen_write(const void *bytes, uint64_t size);
// Lines of text that it shows; 0 where there is none.
int screen_lines(void);
// ASCII from the space to the tilde, then Latin-1 from the no-break space on.
extern const uint8_t screen_font[191][16];

#endif
