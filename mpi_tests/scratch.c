/* SPDX-License-Identifier: BSD-3-Clause */
/* scratch.c -- a directory of its own for a test that makes files. */
#define _GNU_SOURCE
#include "scratch.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mpi.h>

#include "check.h"

static char directory[256];

const char *scratch_make(void)
{
    const char *parent = getenv("NSH_TEST_DIR");

    snprintf(directory, sizeof directory, "%.200s/nsh-test-XXXXXX",
             parent != NULL ? parent : "/tmp");
    if (check_rank == 0 && mkdtemp(directory) == NULL)
        check_note("cannot make %s", directory);
    PMPI_Bcast(directory, sizeof directory, MPI_CHAR, 0, MPI_COMM_WORLD);
    return directory;
}

const char *scratch_path(const char *name)
{
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

int scratch_count(const char *prefix)
{
    DIR *d = check_rank == 0 ? opendir(directory) : NULL;
    struct dirent *entry;
    int n = 0;

    while (d != NULL && (entry = readdir(d)) != NULL)
        n += entry->d_name[0] != '.' && strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    if (d != NULL)
        closedir(d);
    PMPI_Bcast(&n, 1, MPI_INT, 0, MPI_COMM_WORLD);
    return n;
}

void scratch_unlink(const char *name)
{
    if (check_rank == 0)
        unlink(scratch_path(name));
    PMPI_Barrier(MPI_COMM_WORLD);
}

void scratch_remove(void)
{
    DIR *d;
    struct dirent *entry;

    PMPI_Barrier(MPI_COMM_WORLD);
    d = check_rank == 0 ? opendir(directory) : NULL;
    while (d != NULL && (entry = readdir(d)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(d), entry->d_name, 0);
    if (d != NULL) {
        closedir(d);
        rmdir(directory);
    }
}
