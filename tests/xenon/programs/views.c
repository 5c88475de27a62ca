// Reads and writes the same RAM through the console's physical views.
#include "memory.h"
#include "platform.h"
#include "text.h"

int main(int argument_count, char **arguments)
{
    (void)argument_count;
    (void)arguments;
    volatile uint32_t *memory = platform_allocate("seen twice", 8192);
    uint64_t physical = (uint64_t)memory;
    static const uint64_t VIEWS[] = {0x80000000, 0xa0000000, 0xc0000000, 0xe0000000 - 0x1000};
    for (int i = 0; i < 4; i++) {
        volatile uint32_t *view = (volatile uint32_t *)(VIEWS[i] + physical);
        memory[i] = 0x1000u + (uint32_t)i;
        uint32_t read = view[i];
        view[i] = read * 2;  // seen below through the address that was given
        platform_allocate("between", 4096);  // the map changes, and the view is still there
        print(STANDARD_OUTPUT, "%u %u\n", (uint64_t)read, (uint64_t)memory[i] + (uint64_t)(view[i] - memory[i]));
    }
    const char *text = "by a view\n";
    memcpy((char *)physical, text, strlen(text));
    platform_write(STANDARD_OUTPUT, (const char *)(VIEWS[1] + physical), strlen(text));
    return (int)*(volatile char *)(VIEWS[0] + 0x1000000);  // nothing is there: a fault
}
