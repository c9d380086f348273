/* SPDX-License-Identifier: BSD-3-Clause */
/* injector.c -- the child of a rank that disturbs it as the driver orders.
 *
 * A child, because it lives in the namespaces of its rank: it can take the link of the rank's host
 * down and fill the host's /dev/shm, and it knows the rank's process number there. It is forked
 * before MPI_Init and dies with the rank. */
#define _GNU_SOURCE
#include "chaos.h"

#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SHM_MIB = 384 };

static pid_t victim;
static const char *directory;
static int number; /* of the rank */

static bool pause_rank(int ms)
{
    bool ok = kill(victim, SIGSTOP) == 0;

    chaos_nap(ms);
    return kill(victim, SIGCONT) == 0 && ok;
}

static bool send_signals(int ms)
{
    bool ok = true;

    for (int t = 0; t < ms && ok; t += 2) {
        ok = kill(victim, SIGUSR1) == 0;
        chaos_nap(2);
    }
    return ok;
}

static bool start_timer(int ms)
{
    bool ok = kill(victim, SIGUSR2) == 0; /* its handler arms the timer */

    chaos_nap(ms);
    return kill(victim, SIGUSR2) == 0 && ok; /* and disarms it */
}

static bool set_link(const char *device, bool up)
{
    struct ifreq request;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok;

    memset(&request, 0, sizeof request);
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", device);
    ok = fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0;
    if (up)
        request.ifr_flags |= IFF_UP;
    else
        request.ifr_flags &= (short)~IFF_UP;
    ok = ok && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool take_link_down(int ms)
{
    bool ok = set_link("eth0", false);

    chaos_nap(ok ? ms : 0);
    return ok && set_link("eth0", true);
}

/* All but room bytes of /dev/shm, as a file without a name: it goes with its descriptor. -1: no. */
static int take_shm(int64_t room)
{
    struct statvfs s;
    int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    /* Others take room at the same time, then there is less than was seen. */
    for (int tries = 0; fd >= 0 && tries < 10 && statvfs("/dev/shm", &s) == 0; tries++) {
        int64_t bytes = (int64_t)s.f_bavail * (int64_t)s.f_frsize - room;

        if (bytes <= 0 || fallocate(fd, 0, 0, bytes) == 0)
            return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool fill_shm(int ms, int64_t room)
{
    int fd;

    atomic_fetch_add(&chaos->fills, 1);
    atomic_fetch_add(&chaos->full, 1);
    fd = take_shm(room);
    chaos_nap(fd >= 0 ? ms : 0);
    if (fd >= 0)
        close(fd);
    atomic_fetch_sub(&chaos->full, 1);
    return fd >= 0;
}

/* So that filling it takes neither long nor much memory. Only where no other program uses it. */
static void shrink_shm(void)
{
    char option[64];

    snprintf(option, sizeof option, "size=%dm", SHM_MIB);
    mount("none", "/dev/shm", NULL, MS_REMOUNT, option);
}

/* Threads with their frames into directory/stacks.RANK. */
static bool print_stacks(void)
{
    char command[512];

    snprintf(command, sizeof command,
             "timeout -k 1 60 gdb -nx -batch -iex 'set debuginfod enabled off' -p %d "
             "-ex 'thread apply all bt 30' 2>/dev/null | grep -E '^(#|Thread)' >%s/stacks.%d",
             (int)victim, directory, number);
    return system(command) == 0;
}

static bool carry_out(const chaos_rank *r)
{
    switch (r->order) {
    case ORDER_PAUSE:
        return pause_rank(r->ms);
    case ORDER_SIGNALS:
        return send_signals(r->ms);
    case ORDER_TIMER:
        return start_timer(r->ms);
    case ORDER_FORK:
        atomic_fetch_add(&chaos->ranks[number].forks, 1);
        return true;
    case ORDER_EXEC:
        atomic_fetch_add(&chaos->ranks[number].execs, 1);
        return true;
    case ORDER_LINK:
        return take_link_down(r->ms);
    case ORDER_SHM:
        return fill_shm(r->ms, r->room);
    case ORDER_STACKS:
        return print_stacks();
    default:
        return false;
    }
}

/* Nothing of the rank's stays open: the process manager waits for the end of its output. */
static void detach(void)
{
    int null = open("/dev/null", O_RDWR);

    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
}

static void serve(void)
{
    chaos_rank *r = &chaos->ranks[number];

    while (getppid() == victim) {
        unsigned posted = atomic_load(&r->posted);

        if (posted == atomic_load(&r->done)) {
            chaos_sleep_on(&r->posted, posted, 200);
            continue;
        }
        atomic_store(&r->failed, !carry_out(r));
        atomic_store(&r->done, posted);
    }
}

void injector_start(int rank, const char *dir)
{
    pid_t child;

    if (getenv("NSH_CHAOS_PRIVATE_SHM") != NULL)
        shrink_shm();
    victim = getpid();
    number = rank;
    directory = dir;
    child = fork();
    if (child != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "injector");
    detach();
    serve();
    _exit(0);
}
