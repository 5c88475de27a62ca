// Stands for zig.exe under Wine 8, whose NtLockFile refuses what zig's cache asks for: hands each call to the zig
// of the system below (compiler.py). A call is a file in the folder XENON_LLM_COMPILER: the folder it is made in,
// the folder of the cache, the command line, a line each. The answer is a file: the status, then what zig says.
// It needs nothing but kernel32.

#include <stdint.h>

#define KERNEL __declspec(dllimport)

typedef uint32_t Word;
typedef void *Handle;

enum { LONGEST = 4096, NAP = 10, FIRST_DIGIT = '0', CREATE_ALWAYS = 2, OPEN_EXISTING = 3, STANDARD_ERROR = -12 };
enum { READ = 1u << 31, WRITE = 1 << 30, SHARE_READ = 1, NORMAL = 0x80, NO_FILE = -1 };

KERNEL void ExitProcess(unsigned status);
KERNEL Handle CreateFileA(const char *, Word access, Word share, void *, Word how, Word attributes, Handle);
KERNEL int WriteFile(Handle, const void *, Word size, Word *written, void *);
KERNEL int ReadFile(Handle, void *, Word size, Word *read, void *);
KERNEL int CloseHandle(Handle);
KERNEL int MoveFileA(const char *, const char *);
KERNEL int DeleteFileA(const char *);
KERNEL Handle GetStdHandle(Word);
KERNEL Word GetEnvironmentVariableA(const char *, char *, Word size);
KERNEL Word GetCurrentDirectoryA(Word size, char *);
KERNEL Word GetCurrentProcessId(void);
KERNEL const char *GetCommandLineA(void);
KERNEL Word GetFileAttributesA(const char *);
KERNEL void Sleep(Word milliseconds);

static char folder[LONGEST], here[LONGEST], cache[LONGEST], unfinished[LONGEST], call[LONGEST], answer[LONGEST];
static char piece[LONGEST];

static void fail(void) {
    ExitProcess(1);
}

static void write(Handle file, const char *text) {
    Word size = 0, written;
    while (text[size]) {
        size++;
    }
    if (!WriteFile(file, text, size, &written, 0)) {
        fail();
    }
}

static char *add(char *end, const char *text) {
    while (*text) {
        *end++ = *text++;
    }
    *end = 0;
    return end;
}

static void name_file(char *name, Word number, const char *ending) {
    char digits[11], *first = digits + sizeof digits - 1;
    *first = 0;
    do {
        *--first = FIRST_DIGIT + number % 10;
        number /= 10;
    } while (number);
    add(add(add(add(name, folder), "\\"), first), ending);
}

void start(void) {
    if (!GetEnvironmentVariableA("XENON_LLM_COMPILER", folder, LONGEST / 2)) {
        write(GetStdHandle(STANDARD_ERROR), "zig: nobody compiles here\n");
        fail();
    }
    GetEnvironmentVariableA("ZIG_GLOBAL_CACHE_DIR", cache, LONGEST);
    GetCurrentDirectoryA(LONGEST, here);
    Word own = GetCurrentProcessId();
    name_file(unfinished, own, ".unfinished");
    name_file(call, own, ".call");
    name_file(answer, own, ".answer");

    Handle file = CreateFileA(unfinished, WRITE, 0, 0, CREATE_ALWAYS, NORMAL, 0);
    const char *lines[] = {here, cache, GetCommandLineA()};
    for (int i = 0; i < 3; i++) {
        write(file, lines[i]);
        write(file, "\n");
    }
    CloseHandle(file);
    if (!MoveFileA(unfinished, call)) {
        fail();
    }
    while (GetFileAttributesA(answer) == (Word)NO_FILE) {
        Sleep(NAP);
    }
    file = CreateFileA(answer, READ, SHARE_READ, 0, OPEN_EXISTING, NORMAL, 0);
    char status;
    Word size;
    if (!ReadFile(file, &status, 1, &size, 0) || !size) {
        fail();
    }
    while (ReadFile(file, piece, LONGEST - 1, &size, 0) && size) {
        piece[size] = 0;
        write(GetStdHandle(STANDARD_ERROR), piece);
    }
    CloseHandle(file);
    DeleteFileA(answer);
    ExitProcess(status != FIRST_DIGIT);
}
