// The serial port, as XeLL has set it: 115200 baud, 8N1. The device is little-endian, so a byte goes into the top.
#include "xell.h"

static const uint64_t UART = 0x80000200ea001000;
enum { TRANSMIT = 0x14, STATUS = 0x18 };
enum { MAY_SEND = 0x02000000, TURNS = 1000000 };

static int absent = 0;

static void send_byte(uint8_t byte)
{
    volatile uint32_t *status = (volatile uint32_t *)(UART + STATUS);
    for (int turn = 0; !(*status & MAY_SEND); turn++) {
        if (turn == TURNS) {
            absent = 1;
            return;
        }
    }
    *(volatile uint32_t *)(UART + TRANSMIT) = (uint32_t)byte << 24;
    __asm__ volatile("eieio" ::: "memory");
}

void uart_write(const void *bytes, uint64_t size)
{
    for (const uint8_t *byte = bytes, *end = byte + size; byte < end && !absent; byte++) {
        if (*byte == '\n') {
            send_byte('\r');
        }
        if (!absent) {
            send_byte(*byte);
        }
    }
}
