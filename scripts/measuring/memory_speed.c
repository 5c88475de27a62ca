// memory_speed MEGABYTES ROUNDS ITEMS: the GB a second that one thread, then two, add up as integers; then those that
// one thread, then two, multiply by a vector, as rows of ITEMS big-endian floats. A line for each: medians over the
// rounds. What multiplies a matrix by a vector reads no faster than the first two; what does it in plain C with the
// same swaps of bytes, as the last two.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { MOST_THREADS = 2, MOST_ROUNDS = 64 };
enum { LINES = 8 };  // read together: with fewer, adding up is what takes the time

typedef uint32_t Line __attribute__((vector_size(64)));

static uint32_t *words;
static size_t count;
static size_t items;  // of a row
static float *vector;
static int threads;
static volatile uint32_t sums[MOST_THREADS];  // so that they are computed
static volatile float products[MOST_THREADS];
static pthread_barrier_t barrier;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void add_up(int thread)
{
    Line sum[LINES] = {{0}};
    size_t blocks = count * sizeof(*words) / sizeof sum;
    const Line *line = (const Line *)(const void *)words + blocks * thread / threads * LINES;
    const Line *end = (const Line *)(const void *)words + blocks * (thread + 1) / threads * LINES;
    for (; line < end; line += LINES) {
#pragma GCC unroll 8
        for (int i = 0; i < LINES; i++) {
            sum[i] += line[i];
        }
    }
    for (int i = 1; i < LINES; i++) {
        sum[0] += sum[i];
    }
    sums[thread] = sum[0][0];
}

static void multiply(int thread)
{
    size_t rows = count / items;
    float all = 0;
    for (size_t i = rows * thread / threads; i < rows * (thread + 1) / threads; i++) {
        const uint32_t *row = words + i * items;
        float sum = 0;
        for (size_t j = 0; j < items; j++) {
            uint32_t bits = __builtin_bswap32(row[j]);
            float value;
            memcpy(&value, &bits, sizeof value);
            sum += value * vector[j];
        }
        all += sum;
    }
    products[thread] = all;
}

static void (*job)(int thread) = add_up;

static void *work(void *rounds)
{
    for (int i = 0; i < *(int *)rounds; i++) {
        pthread_barrier_wait(&barrier);
        job(1);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double speed(size_t bytes, int rounds)
{
    double seconds[MOST_ROUNDS];
    pthread_t other;
    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    if (threads > 1 && pthread_create(&other, NULL, work, &rounds)) {
        exit(1);
    }
    for (int i = 0; i < rounds; i++) {
        pthread_barrier_wait(&barrier);
        double start = now();
        job(0);
        pthread_barrier_wait(&barrier);
        seconds[i] = now() - start;
    }
    if (threads > 1) {
        pthread_join(other, NULL);
    }
    pthread_barrier_destroy(&barrier);
    qsort(seconds, (size_t)rounds, sizeof(*seconds), ascending);
    return 1e-9 * (double)bytes / seconds[rounds / 2];
}

int main(int argc, char **argv)
{
    size_t bytes = argc > 3 ? (size_t)atoi(argv[1]) * 1000000 : 0;
    int rounds = argc > 3 ? atoi(argv[2]) : 0;
    items = argc > 3 ? (size_t)atoi(argv[3]) : 0;
    if (bytes == 0 || rounds < 1 || rounds > MOST_ROUNDS || items == 0 || items > bytes / sizeof(*words)) {
        fprintf(stderr, "usage: memory_speed MEGABYTES ROUNDS (1 to %d) ITEMS\n", MOST_ROUNDS);
        return 1;
    }
    words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    vector = calloc(items, sizeof(*vector));
    if (words == MAP_FAILED || vector == NULL) {
        perror("memory_speed");
        return 1;
    }
    madvise(words, bytes, MADV_HUGEPAGE);
    count = bytes / sizeof(*words);
    for (size_t i = 0; i < count; i++) {
        words[i] = __builtin_bswap32(0x3f000000 + (uint32_t)i % 1000);
    }
    void (*const jobs[])(int) = {add_up, multiply};
    for (size_t i = 0; i < sizeof jobs / sizeof(*jobs); i++) {
        job = jobs[i];
        for (threads = 1; threads <= MOST_THREADS; threads++) {
            printf("%.3f\n", speed(bytes, rounds));
        }
    }
    return 0;
}
