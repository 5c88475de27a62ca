/* Prints what it finds at its start: registers of the ABI, arguments, environment, auxiliary vector. */
#include "raw.h"

void run(word *stack) {
    write_text((word)stack % 16 ? "stack misaligned\n" : "stack aligned\n");
    word count = *stack++;
    while (count--) { write_text((const char *)*stack++); write_text("\n"); }
    stack++;
    while (*stack) { write_text((const char *)*stack++); write_text("\n"); }
    for (stack++; *stack; stack += 2) { write_hex(stack[0]); write_hex(stack[1]); }
    call(234, 42, 0, 0, 0, 0, 0);
}
