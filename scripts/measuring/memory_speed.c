// memory_speed MEGABYTES ROUNDS: the GB a second that one thread, then two, add up as integers, a line for each.
// A median over the rounds. What multiplies a matrix by a vector reads no faster than this.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { MOST_THREADS = 2, MOST_ROUNDS = 64 };

static uint32_t *words;
static size_t count;
static int threads;
static volatile uint32_t sums[MOST_THREADS];  // so that they are computed
static pthread_barrier_t barrier;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void add_up(int thread)
{
    uint32_t sum = 0;
    for (size_t i = count * thread / threads; i < count * (thread + 1) / threads; i++) {
        sum += words[i];
    }
    sums[thread] = sum;
}

static void *work(void *rounds)
{
    for (int i = 0; i < *(int *)rounds; i++) {
        pthread_barrier_wait(&barrier);
        add_up(1);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    double seconds[MOST_ROUNDS];
    size_t bytes = argc > 2 ? (size_t)atoi(argv[1]) * 1000000 : 0;
    int rounds = argc > 2 ? atoi(argv[2]) : 0;
    if (bytes == 0 || rounds < 1 || rounds > MOST_ROUNDS) {
        fprintf(stderr, "usage: memory_speed MEGABYTES ROUNDS (1 to %d)\n", MOST_ROUNDS);
        return 1;
    }
    words = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (words == MAP_FAILED) {
        perror("memory_speed");
        return 1;
    }
    madvise(words, bytes, MADV_HUGEPAGE);
    count = bytes / sizeof(*words);
    for (size_t i = 0; i < count; i++) {
        words[i] = (uint32_t)i;
    }
    for (threads = 1; threads <= MOST_THREADS; threads++) {
        pthread_t other;
        pthread_barrier_init(&barrier, NULL, (unsigned)threads);
        if (threads > 1 && pthread_create(&other, NULL, work, &rounds)) {
            return 1;
        }
        for (int i = 0; i < rounds; i++) {
            pthread_barrier_wait(&barrier);
            double start = now();
            add_up(0);
            pthread_barrier_wait(&barrier);
            seconds[i] = now() - start;
        }
        if (threads > 1) {
            pthread_join(other, NULL);
        }
        pthread_barrier_destroy(&barrier);
        qsort(seconds, (size_t)rounds, sizeof(*seconds), ascending);
        printf("%.3f\n", 1e-9 * (double)bytes / seconds[rounds / 2]);
    }
    return 0;
}
