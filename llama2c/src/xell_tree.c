// The flattened device tree (Devicetree Specification 0.4, chapter 5): end of memory, initrd, command line.
#include "memory.h"
#include "xell.h"

static const uint32_t MAGIC = 0xd00dfeed;
enum { HEADER = 40, LARGEST = 0x10000, DEEPEST = 16 };
enum { BEGIN_NODE = 1, END_NODE, PROPERTY, NOP };

typedef struct {
    const uint8_t *bytes;
    uint32_t size, structure, strings;
} Blob;

typedef struct {
    const char *name;
    const uint8_t *value;
    uint32_t length;
} Property;

static uint32_t word(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

// A number of one or two cells.
static uint64_t number(const uint8_t *bytes, uint32_t length)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < length && i < 8; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

// The text at an offset, or NULL where it does not end inside the blob.
static const char *text(const Blob *blob, uint32_t offset)
{
    for (uint32_t i = offset; i < blob->size; i++) {
        if (!blob->bytes[i]) {
            return (const char *)blob->bytes + offset;
        }
    }
    return 0;
}

static int begins(const char *name, const char *start)
{
    while (*start && *name == *start) {
        name++;
        start++;
    }
    return !*start;
}

static void copy_arguments(Device_Tree *tree, Property property)
{
    uint32_t length = property.length < XELL_ARGUMENT_BYTES - 1 ? property.length : XELL_ARGUMENT_BYTES - 1;
    memcpy(tree->arguments, property.value, length);
    tree->arguments[length] = 0;
}

// A property of a node below the root. cells: of an address, of a size.
static void take(Device_Tree *tree, const char *node, Property property, const uint32_t *cells)
{
    if (begins(node, "memory") && strcmp(property.name, "reg") == 0) {
        uint32_t address = 4 * cells[0], size = 4 * cells[1];
        if (address <= 8 && size <= 8 && property.length >= address + size) {
            tree->memory_end = number(property.value, address) + number(property.value + address, size);
        }
    } else if (strcmp(node, "chosen") == 0) {
        if (strcmp(property.name, "bootargs") == 0) {
            copy_arguments(tree, property);
        } else if (strcmp(property.name, "linux,initrd-start") == 0) {
            tree->initrd.start = number(property.value, property.length);
        } else if (strcmp(property.name, "linux,initrd-end") == 0) {
            tree->initrd.end = number(property.value, property.length);
        }
    }
}

static void walk(Device_Tree *tree, const Blob *blob)
{
    const char *node = "";
    uint32_t cells[2] = {2, 1};
    int depth = 0;
    for (uint32_t place = blob->structure; place <= blob->size - 4;) {
        uint32_t token = word(blob->bytes + place);
        place += 4;
        if (token == BEGIN_NODE) {
            const char *name = text(blob, place);
            if (!name || ++depth > DEEPEST) {
                return;
            }
            node = depth == 2 ? name : node;
            place = (place + (uint32_t)strlen(name) + 4) & ~3u;
        } else if (token == PROPERTY) {
            if (blob->size - place < 8 || word(blob->bytes + place) > blob->size - place - 8) {
                return;
            }
            uint32_t length = word(blob->bytes + place), offset = word(blob->bytes + place + 4);
            Property property = {offset < blob->size - blob->strings ? text(blob, blob->strings + offset) : 0,
                                 blob->bytes + place + 8, length};
            if (property.name && depth == 1 && length == 4 && strcmp(property.name, "#address-cells") == 0) {
                cells[0] = word(property.value);
            } else if (property.name && depth == 1 && length == 4 && strcmp(property.name, "#size-cells") == 0) {
                cells[1] = word(property.value);
            } else if (property.name && depth == 2) {
                take(tree, node, property, cells);
            }
            place = (place + 8 + length + 3) & ~3u;
        } else if (token == END_NODE) {
            depth--;
        } else if (token != NOP) {
            return;
        }
    }
}

int device_tree_read(Device_Tree *tree, uint64_t address)
{
    const uint8_t *bytes = (const uint8_t *)address;
    if (!address || address & 7 || address > 0x1fff0000 || word(bytes) != MAGIC) {
        return 0;
    }
    Blob blob = {bytes, word(bytes + 4), word(bytes + 8), word(bytes + 12)};
    if (blob.size < HEADER || blob.size > LARGEST || blob.structure > blob.size - 4 || blob.structure & 3 ||
        blob.strings >= blob.size) {
        return 0;
    }
    tree->tree = (Range){address, address + blob.size};
    walk(tree, &blob);
    return 1;
}
