// The system management controller: messages of 16 bytes. Words of a message are as in memory, status is little-endian.
#include "xell.h"

static const uint64_t SMC = 0x80000200ea001000;
enum { OUT = 0x80, OUT_STATUS = 0x84, IN = 0x90, IN_STATUS = 0x94 };
enum { READY = 0x04000000, TURNS = 200000, EVENTS = 16 };
enum { CLOCK = 0x04, POWER_OFF = 0x82, RING_OF_LIGHT = 0x99 };

typedef union {
    uint8_t bytes[16];
    uint32_t words[4];
} Message;

static volatile uint32_t *smc_register(int offset)
{
    return (volatile uint32_t *)(SMC + (uint64_t)offset);
}

static int await_status(int status)
{
    for (int turn = 0; turn < TURNS; turn++) {
        if (*smc_register(status) & READY) {
            return 1;
        }
    }
    return 0;
}

static int send(const Message *message)
{
    if (!await_status(OUT_STATUS)) {
        return 0;
    }
    *smc_register(OUT_STATUS) = READY;
    for (int i = 0; i < 4; i++) {
        *smc_register(OUT) = message->words[i];
    }
    *smc_register(OUT_STATUS) = 0;
    __asm__ volatile("eieio" ::: "memory");
    return 1;
}

// The answer to a command; events that come between are passed over.
static int receive(Message *message, uint8_t command)
{
    for (int i = 0; i < EVENTS && await_status(IN_STATUS); i++) {
        *smc_register(IN_STATUS) = READY;
        for (int word = 0; word < 4; word++) {
            message->words[word] = *smc_register(IN);
        }
        *smc_register(IN_STATUS) = 0;
        if (message->bytes[0] == command) {
            return 1;
        }
    }
    return 0;
}

uint64_t smc_clock(void)
{
    Message message = {.bytes = {CLOCK}};
    uint64_t milliseconds = 0;
    if (send(&message) && receive(&message, CLOCK)) {
        for (int i = 5; i >= 1; i--) {
            milliseconds = milliseconds << 8 | message.bytes[i];
        }
    }
    return milliseconds;
}

void smc_ring_of_light(unsigned green, unsigned red)
{
    Message message = {.bytes = {RING_OF_LIGHT, 1, (uint8_t)(green << 4 | red)}};
    send(&message);
}

void smc_power_off(void)
{
    Message message = {.bytes = {POWER_OFF, 1}};
    send(&message);
}
