// Which characters are letters, numbers and white space, as pre-tokenizers see them.
#ifndef CHAR_CLASSES_H
#define CHAR_CLASSES_H

#include <stdint.h>

typedef enum {
    CLASS_OTHER,
    CLASS_LETTER,      // \p{L}
    CLASS_NUMBER,      // \p{N}
    CLASS_DIGIT_ONLY,  // of category N for splitting off digits alone; newer than the tables of the expressions
    CLASS_SPACE,       // \s
    CLASS_END,         // behind the last character
} Char_Class;

Char_Class char_class(uint32_t code);

#endif
