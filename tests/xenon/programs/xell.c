// A program for XeLL without a library: does what the first word of its command line names.
typedef unsigned long word;
typedef unsigned int u32;
typedef unsigned char u8;

#define REGISTER(address) (*(volatile u32 *)(address))
#define UART 0x80000200EA001000UL
#define SMC UART
#define DISPLAY 0x80000200EC806000UL

__asm__(
    ".section .text.start, \"ax\"\n"
    ".globl _start\n"
    "_start:\n"
    "    b first\n"
    ".org 0x60\n"
    "    mr 31, 3\n"            // threads 1 to 5: r3 is the number
    "    lis 1, 0x100\n"        // stacks below 0x1000000, 0x4000 each
    "    sldi 4, 3, 14\n"
    "    subf 1, 4, 1\n"
    "    b common\n"
    "first:\n"
    "    mr 31, 3\n"            // the device tree
    "    mr 30, 4\n"
    "    mr 29, 5\n"
    "    lis 1, 0x100\n"
    "common:\n"
    "    bl 1f\n"
    "1:  mflr 2\n"
    "    addis 2, 2, .TOC.-1b@ha\n"
    "    addi 2, 2, .TOC.-1b@l\n"
    "    li 0, 0\n"
    "    stdu 0, -64(1)\n"
    "    mr 3, 31\n"
    "    mr 4, 30\n"
    "    mr 5, 29\n"
    "    bl run\n"
    "    nop\n"
    ".previous\n");

volatile u32 arrived[8] __attribute__((section(".data"))) = {1};

static u32 swapped(u32 value) { return __builtin_bswap32(value); }

static void put(char c) {
    while (!(REGISTER(UART + 0x18) & 0x02000000)) {}
    REGISTER(UART + 0x14) = (u32)(u8)c << 24;
}

static void write_text(const char *text) {
    while (*text) put(*text++);
}

static void write_hex(word value) {
    for (int shift = 60; shift >= 0; shift -= 4) put("0123456789abcdef"[value >> shift & 15]);
    put('\n');
}

static void send(u32 a, u32 b, u32 c, u32 d) {
    while (!(REGISTER(SMC + 0x84) & 0x04000000)) {}
    REGISTER(SMC + 0x84) = swapped(4);
    REGISTER(SMC + 0x80) = a;
    REGISTER(SMC + 0x80) = b;
    REGISTER(SMC + 0x80) = c;
    REGISTER(SMC + 0x80) = d;
    REGISTER(SMC + 0x84) = 0;
}

static void power_off(void) {
    send(0x82010000, 0, 0, 0);
    for (;;) {}
}

static int same(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return *a == *b || (*a == 0 && *b == ' ');
}

// The value of a property anywhere in the device tree, 0 where there is none.
static const u8 *property(const u8 *tree, const char *name) {
    const u32 *header = (const u32 *)tree;
    const u32 *at = (const u32 *)(tree + header[2]);
    const char *names = (const char *)tree + header[3];
    for (;;) {
        u32 token = *at++;
        if (token == 9) return 0;
        if (token == 1) {
            const u8 *end = (const u8 *)at;
            while (*end) end++;
            at = (const u32 *)(((word)end + 4) & ~3UL);
        } else if (token == 3) {
            if (same(names + at[1], name)) return (const u8 *)(at + 2);
            at += 2 + (at[0] + 3) / 4;
        }
    }
}

static inline word time_base(void) {
    word value;
    __asm__ volatile("mfspr %0, 268" : "=r"(value));
    return value;
}

#define SPECIAL(number) ({ word value; __asm__ volatile("mfspr %0, " #number : "=r"(value)); value; })

static void show_registers(void) {
    word msr;
    write_hex(SPECIAL(287));
    write_hex(SPECIAL(1023));
    __asm__ volatile("mfmsr %0" : "=r"(msr));
    write_hex(msr);
    __asm__ volatile("mtmsrd %0" : : "r"(msr | 0x02002000));
    write_hex(SPECIAL(1017));
    write_hex(SPECIAL(318));
}

static void show_time(void) {
    word first = time_base(), last = first;
    for (int i = 0; i < 100; i++) last = time_base();
    write_text(last > first ? "later\n" : "stuck\n");
    send(0x04000000, 0, 0, 0);
    while (!(REGISTER(SMC + 0x94) & 0x04000000)) {}
    REGISTER(SMC + 0x94) = swapped(4);
    u32 words[4];
    for (int i = 0; i < 4; i++) words[i] = REGISTER(SMC + 0x90);
    REGISTER(SMC + 0x94) = 0;
    const u8 *clock = (const u8 *)words;
    word milliseconds = 0;
    for (int i = 5; i >= 1; i--) milliseconds = milliseconds << 8 | clock[i];
    write_hex(milliseconds);
    send(0x99010000 | 0x8100, 0, 0, 0);
}

static void show_start(const u8 *tree, word entry, word fifth) {
    const u32 *block = (const u32 *)(entry + 8);
    write_hex(fifth);
    write_hex(block[0]);
    write_hex(block[1]);
    const u32 *argv = (const u32 *)(word)(block[2] & 0x1FFFFFFF);
    write_text((const char *)(word)(argv[0] & 0x1FFFFFFF));
    put('\n');
    write_text((const char *)property(tree, "bootargs"));
    put('\n');
    const u8 *start = property(tree, "linux,initrd-start"), *end = property(tree, "linux,initrd-end");
    if (!start) return;
    for (const u8 *at = *(const u8 **)start; at < *(const u8 **)end; at++) put((char)*at);
}

// Colours by place: red is x, green is y, blue is their sum, each modulo 256.
static void draw(void) {
    u32 *frame = (u32 *)(word)REGISTER(DISPLAY + 0x110);
    u32 width = REGISTER(DISPLAY + 0x134), height = REGISTER(DISPLAY + 0x138);
    u32 pitch = REGISTER(DISPLAY + 0x120);
    for (u32 y = 0; y < height; y += 1)
        for (u32 x = 0; x < width; x += 1) {
            u32 inside = (x & 3) | (y & 1) << 2 | (x >> 2 & 7) << 3 | (y >> 1 & 15) << 6;
            u32 at = y / 32 * 32 * pitch + x / 32 * 1024 + (inside ^ (y >> 3 & 1) << 5);
            frame[at] = (x + y & 255) << 24 | (y & 255) << 16 | (x & 255) << 8;
        }
}

static void count_threads(word wanted) {
    word end = time_base() + 49875000UL * 20;
    for (;;) {
        word count = 0;
        for (int i = 0; i < 6; i++) count += arrived[i];
        if (count >= wanted || time_base() > end) {
            write_hex(count);
            return;
        }
    }
}

static u32 work(u32 value) {
    for (u32 i = 0; i < 3000000; i++) value = value * 1664525 + 1013904223;
    return value;
}

static void await(int turns) {
    for (int i = 0; i < turns; i++) __asm__ volatile("or 31, 31, 31");
}

void run(u8 *tree, word entry, word fifth) {
    if ((word)tree < 8) {
        arrived[(word)tree] = SPECIAL(1023) == (word)tree;
        __asm__ volatile("mtspr 152, %0" : : "r"(0UL));
    }
    const char *task = (const char *)property(tree, "bootargs");
    if (!task || same("hello", task)) write_text("hello\n");
    else if (same("start", task)) show_start(tree, entry, fifth);
    else if (same("registers", task)) show_registers();
    else if (same("time", task)) show_time();
    else if (same("draw", task)) draw();
    else if (same("wait", task)) await(9);
    else if (same("work", task)) write_hex(work(7));
    else if (same("threads", task)) count_threads(task[8] - '0');
    else if (same("stale", task)) write_hex(*(volatile u32 *)0x2000000);
    else if (same("jump-zero", task)) __asm__ volatile("mtctr %0\n\tbctrl" : : "r"(0UL) : "ctr", "lr");
    else if (same("flash", task)) REGISTER(0x80000200C8000000UL) = 0;
    else if (same("view", task)) REGISTER(0x80010000UL) = 0;
    else if (same("beyond", task)) REGISTER(0x20000000UL) = 0;
    else if (same("southbridge", task)) write_hex(REGISTER(UART + 0x200));
    else if (same("display", task)) REGISTER(DISPLAY + 0x134) = 640;
    else if (same("call", task)) __asm__ volatile("sc");
    else if (same("translation", task)) __asm__ volatile("mtmsrd %0" : : "r"(0x9000000002003030UL));
    else if (same("decrementer", task)) write_hex(SPECIAL(22));
    else if (same("hid", task)) __asm__ volatile("mtspr 1017, %0" : : "r"(0UL));
    else if (same("interrupt", task)) __asm__ volatile("rfid");
    else if (same("message", task)) send(0x55000000, 0, 0, 0);
    else if (same("endless", task)) for (;;) put('x');
    else if (same("asleep", task)) __asm__ volatile("mtspr 152, %0" : : "r"(0UL));
    power_off();
}
