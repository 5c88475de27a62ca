// Classes of characters by a table of ranges: char_classes.def, which scripts/tables/char_classes.py makes.
#include "char_classes.h"

typedef struct {
    uint32_t first, last;
    Char_Class class;
} Range;

static const Range RANGES[] = {
#define RANGE(first, last, class) {first, last, CLASS_##class},
#include "char_classes.def"
};

static Char_Class in_table(uint32_t code)
{
    uint32_t low = 0, high = sizeof RANGES / sizeof RANGES[0];
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (code > RANGES[middle].last) {
            low = middle + 1;
        } else if (code < RANGES[middle].first) {
            high = middle;
        } else {
            return RANGES[middle].class;
        }
    }
    return CLASS_OTHER;
}

Char_Class char_class(uint32_t code)
{
    if (code < 0x80) {
        int is_space = code == ' ' || code - '\t' < 5u;
        return (code | 0x20) - 'a' < 26u ? CLASS_LETTER : code - '0' < 10u ? CLASS_NUMBER : is_space ? CLASS_SPACE : CLASS_OTHER;
    }
    return in_table(code);
}
