// Files in memory: archives that `xenon-llm pack` makes, in the image and in the initrd. xenon/pack/archive.py writes
// them. A file may lie in several pieces.
#include "memory.h"
#include "xell.h"

enum { MOST_ENTRIES = 16, NAME_BYTES = 32 };

typedef struct {
    char magic[8];
    uint64_t bytes;  // of the archive
    uint64_t entries;
    uint64_t unused;
} Header;

typedef struct {
    char name[NAME_BYTES];  // ends with a zero
    uint64_t offset;        // of the piece in the archive
    uint64_t length;
    uint64_t position;      // of the piece in the file
    uint64_t size;          // of the file
} Entry;

typedef struct {
    const char *name;
    const uint8_t *bytes;
    uint64_t length, position, size;
} File_Piece;

static const char MAGIC[] = "XLLMARC1";
static const uint32_t CHECKPOINT_MAGIC = 0x616b3432;  // "ak42"
static File_Piece pieces[MOST_ENTRIES];
static int count = 0;

static int same_bytes(const void *a, const void *b, int n)
{
    const uint8_t *x = a, *y = b;
    while (n && *x == *y) {
        x++;
        y++;
        n--;
    }
    return !n;
}

// Whether all bytes of the file are in the pieces, each once and in order.
static int is_whole(const char *name)
{
    uint64_t next = 0, size = 0;
    for (int i = 0; i < count; i++) {
        if (strcmp(pieces[i].name, name) == 0) {
            if (pieces[i].position != next || (next && pieces[i].size != size)) {
                return 0;
            }
            size = pieces[i].size;
            next += pieces[i].length;
        }
    }
    return next == size;
}

static int add_piece(File_Piece piece)
{
    if (count == MOST_ENTRIES) {
        return 0;
    }
    // By name, then by position.
    int place = count++;
    for (; place > 0; place--) {
        int order = strcmp(pieces[place - 1].name, piece.name);
        if (order < 0 || (order == 0 && pieces[place - 1].position <= piece.position)) {
            break;
        }
        pieces[place] = pieces[place - 1];
    }
    pieces[place] = piece;
    return 1;
}

int files_add(Range range)
{
    const Header *header = (const Header *)range.start;
    uint64_t room = range.end > range.start ? range.end - range.start : 0;
    if (room < sizeof *header) {
        return 0;
    }
    if (!same_bytes(header->magic, MAGIC, sizeof header->magic)) {
        uint32_t first = *(const uint32_t *)range.start;
        // A lone checkpoint: v1 by its magic, v0 by a width that can be.
        int is_model = first == CHECKPOINT_MAGIC || (first > 0 && first <= 1 << 16);
        return is_model && add_piece((File_Piece){"model.bin", (const uint8_t *)range.start, room, 0, room});
    }
    if (header->bytes > room || header->bytes < sizeof *header || header->entries > MOST_ENTRIES ||
        header->entries * sizeof(Entry) > header->bytes - sizeof *header) {
        return 0;
    }
    const Entry *entries = (const Entry *)(header + 1);
    for (uint64_t i = 0; i < header->entries; i++) {
        const Entry *entry = &entries[i];
        if (entry->name[NAME_BYTES - 1] || entry->offset > header->bytes || entry->length > header->bytes - entry->offset ||
            entry->position > entry->size || entry->length > entry->size - entry->position) {
            return 0;
        }
    }
    for (uint64_t i = 0; i < header->entries; i++) {
        const Entry *entry = &entries[i];
        // A whole file of an archive that was added before hides this one.
        if (file_named(entry->name) < 0 && !add_piece((File_Piece){entry->name, (const uint8_t *)range.start + entry->offset,
                                                                 entry->length, entry->position, entry->size})) {
            return 0;
        }
    }
    return 1;
}

int64_t file_named(const char *name)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(pieces[i].name, name) == 0) {
            return is_whole(name) ? i : -1;
        }
    }
    return -1;
}

uint64_t file_size(int64_t handle)
{
    return pieces[handle].size;
}

int file_read(int64_t handle, uint64_t offset, void *buffer, uint64_t size)
{
    if (offset > pieces[handle].size || size > pieces[handle].size - offset) {
        return 0;
    }
    uint64_t end = offset + size;
    for (int i = (int)handle; i < count && strcmp(pieces[i].name, pieces[handle].name) == 0; i++) {
        uint64_t start = pieces[i].position, stop = start + pieces[i].length;
        uint64_t from = start > offset ? start : offset, to = stop < end ? stop : end;
        if (from < to) {
            memcpy((uint8_t *)buffer + (from - offset), pieces[i].bytes + (from - start), to - from);
        }
    }
    return 1;
}

const void *file_whole(int64_t handle)
{
    const File_Piece *piece = &pieces[handle];
    if (piece->length == piece->size) {
        return piece->bytes;
    }
    void *copy = heap_take(piece->size);
    if (copy) {
        file_read(handle, 0, copy, piece->size);
    }
    return copy;
}
