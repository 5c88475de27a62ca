// Text on the screen that XeLL has left on: cells of 8 x 16 pixels, words wrapped, scrolled two lines at once.
// Pixels are words, blue in the highest byte; tiles of 32 x 32 pixels lie one after another.
#include "memory.h"
#include "utf8.h"
#include "xell.h"

enum { ADDRESS = 0x6110, WIDTH = 0x6134, HEIGHT = 0x6138 };
enum { LEAST = 320, MOST = 2048, CELL_WIDTH = 8, CELL_HEIGHT = 16, TILE = 32, LINE = 128, MARGIN = 28 };
enum { MOST_COLUMNS = MOST / CELL_WIDTH };
enum { FIRST_PLAIN = 0x20, LAST_PLAIN = 0x7e, FIRST_LATIN = 0xa0, LAST_LATIN = 0xff, UNKNOWN = 0xbf };
static const uint64_t REGISTERS = 0x80000200ec800000;
static const uint64_t FIRST_ADDRESS = 0x1000000, END_OF_RAM = 0x20000000;
static const uint32_t INK = 0xd0e0d000, PAPER = 0x30180800;

static uint32_t *framebuffer;
static int width, height;       // of the buffer, in whole tiles
static int left, top;           // the margin that a television may hide, in cells
static int columns, lines;
static int column, line;
static uint32_t word[MOST_COLUMNS];  // the characters since the last space, which stay together
static int word_length;
static char held[4];            // the bytes of a character that is not whole
static int held_bytes;

static uint32_t screen_register(int offset)
{
    return *(volatile uint32_t *)(REGISTERS + (uint64_t)offset);
}

static uint32_t pixel_index(int x, int y)
{
    uint32_t tile = (uint32_t)(y / TILE * TILE * width + x / TILE * TILE * TILE);
    uint32_t inside = (uint32_t)((x & 3) | (y & 1) << 2 | (x & 0x1c) << 1 | (y & 0x1e) << 5);
    return tile + (inside ^ (uint32_t)(y & 8) << 2);
}

// The display reads memory past the caches.
static void write_back(uint64_t start, uint64_t end)
{
    for (uint64_t place = start & ~(uint64_t)(LINE - 1); place < end; place += LINE) {
        __asm__ volatile("dcbst 0, %0" ::"r"(place) : "memory");
    }
    __asm__ volatile("sync" ::: "memory");
}

static void fill(uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        framebuffer[i] = PAPER;
    }
    write_back((uint64_t)&framebuffer[first], (uint64_t)&framebuffer[first + count]);
}

static const uint8_t *glyph_of(uint32_t character)
{
    if (character >= FIRST_PLAIN && character <= LAST_PLAIN) {
        return screen_font[character - FIRST_PLAIN];
    }
    if (character < FIRST_LATIN || character > LAST_LATIN) {
        character = character == 0x2018 || character == 0x2019   ? '\''
                    : character == 0x201c || character == 0x201d ? '"'
                    : character == 0x2013 || character == 0x2014 ? '-'
                                                                 : UNKNOWN;
        return character < FIRST_LATIN ? screen_font[character - FIRST_PLAIN] : glyph_of(UNKNOWN);
    }
    return screen_font[character - FIRST_LATIN + LAST_PLAIN - FIRST_PLAIN + 1];
}

static void draw_glyph(uint32_t character)
{
    const uint8_t *glyph = glyph_of(character);
    int x = (left + column) * CELL_WIDTH, y = (top + line) * CELL_HEIGHT;
    for (int row = 0; row < CELL_HEIGHT; row++) {
        for (int i = 0; i < CELL_WIDTH; i += 4) {  // four pixels beside each other are words behind each other
            uint32_t *to = &framebuffer[pixel_index(x + i, y + row)];
            for (int k = 0; k < 4; k++) {
                to[k] = glyph[row] & 0x80 >> (i + k) ? INK : PAPER;
            }
        }
    }
    for (int row = 0; row < CELL_HEIGHT; row += 2) {  // a cache line holds 16 x 2 pixels
        __asm__ volatile("dcbst 0, %0" ::"r"(&framebuffer[pixel_index(x, y + row)]) : "memory");
    }
    __asm__ volatile("sync" ::: "memory");
}

// A row of tiles is two lines of text, and lies in one piece; margins and lines are in whole rows of tiles.
static void scroll(void)
{
    uint64_t row = (uint64_t)width * TILE, first = (uint64_t)(top / 2), last = first + (uint64_t)(lines / 2) - 1;
    uint32_t *to = framebuffer + first * row;
    memmove(to, to + row, (last - first) * row * sizeof *to);
    write_back((uint64_t)to, (uint64_t)(to + (last - first) * row));
    fill(last * row, row);
    line -= 2;
}

static void next_line(void)
{
    column = 0;
    if (++line >= lines) {
        scroll();
    }
}

static void put_glyph(uint32_t character)
{
    if (column == columns) {
        next_line();
    }
    draw_glyph(character);
    column++;
}

// Takes the word at the end of a line to the next one.
static void move_word(void)
{
    for (column -= word_length; column < columns; column++) {
        draw_glyph(' ');
    }
    next_line();
    for (int i = 0; i < word_length; i++) {
        put_glyph(word[i]);
    }
}

static void put_character(uint32_t character)
{
    if (character == '\n') {
        word_length = 0;
        next_line();
    } else if (character == ' ') {
        word_length = 0;
        column += column < columns;
    } else if (character > ' ') {
        if (column == columns && word_length && word_length < columns) {
            move_word();
        }
        put_glyph(character);
        word[word_length] = character;
        word_length += word_length < MOST_COLUMNS - 1;
    }
}

uint64_t screen_start(void)
{
    uint64_t address = screen_register(ADDRESS);
    uint64_t x = screen_register(WIDTH), y = screen_register(HEIGHT);
    if (x < LEAST || x > MOST || y < LEAST || y > MOST || address < FIRST_ADDRESS || address % LINE) {
        return 0;
    }
    width = ((int)x + TILE - 1) / TILE * TILE;
    height = ((int)y + TILE - 1) / TILE * TILE;
    uint64_t bytes = (uint64_t)width * (uint64_t)height * sizeof *framebuffer;
    if (address > END_OF_RAM - bytes) {
        return 0;
    }
    framebuffer = (uint32_t *)address;
    left = ((int)x / MARGIN + CELL_WIDTH - 1) / CELL_WIDTH;
    top = ((int)y / MARGIN + TILE - 1) / TILE * 2;
    columns = (int)x / CELL_WIDTH - 2 * left;
    lines = (int)y / TILE * 2 - 2 * top;
    fill(0, bytes / sizeof *framebuffer);
    return address;
}

int screen_lines(void)
{
    return framebuffer ? lines : 0;
}

void screen_write(const void *bytes, uint64_t size)
{
    const char *text = bytes, *end = text + size;
    while (framebuffer && text < end) {
        held[held_bytes++] = *text++;
        uint32_t character;
        if (held_bytes == sizeof held || !utf8_unfinished(held, (uint64_t)held_bytes)) {
            for (int used = 0; used < held_bytes;) {
                used += (int)utf8_character(held + used, (uint64_t)(held_bytes - used), &character);
                put_character(character);
            }
            held_bytes = 0;
        }
    }
}
