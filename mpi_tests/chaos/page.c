/* SPDX-License-Identifier: BSD-3-Clause */
/* page.c -- the memory that the driver, the ranks and their injectors share. */
#define _GNU_SOURCE
#include "page.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

chaos_page *chaos_page_map(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *p = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, sizeof(chaos_page)) == 0)
        p = mmap(NULL, sizeof(chaos_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    return p != MAP_FAILED ? p : NULL;
}

const char *chaos_order_label(int order)
{
    static const char *const labels[ORDERS] = {"none",
#define CHAOS_ORDER_LABEL(name, label) label,
                                               CHAOS_ORDER_MAP(CHAOS_ORDER_LABEL)
#undef CHAOS_ORDER_LABEL
    };

    return order >= 0 && order < ORDERS ? labels[order] : "?";
}

void chaos_sleep_on(atomic_uint *word, unsigned seen, int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};

    syscall(SYS_futex, word, FUTEX_WAIT, seen, &t, NULL, 0);
}

void chaos_wake(atomic_uint *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void chaos_nap(double ms)
{
    int64_t ns = (int64_t)(ms * 1e6);
    struct timespec t = {ns / 1000000000, ns % 1000000000};

    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        continue;
}

static uint64_t scramble(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t chaos_mix(uint64_t a, uint64_t b)
{
    return scramble(scramble(a + UINT64_C(0x9e3779b97f4a7c15)) + b);
}

uint64_t chaos_next(chaos_random *random)
{
    return scramble(random->state += UINT64_C(0x9e3779b97f4a7c15));
}

int64_t chaos_below(chaos_random *random, int64_t n)
{
    return n <= 1 ? 0 : (int64_t)(chaos_next(random) % (uint64_t)n);
}
