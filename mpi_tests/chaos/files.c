/* SPDX-License-Identifier: BSD-3-Clause */
/* files.c -- HDF5 files: what is written is read again, as arrays and by each rank for itself. */
#define _GNU_SOURCE
#include "chaos.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In a build without HDF5 every rank gets UNSUPPORTED. */
static bool open_file(context *c, const char *path, nsh_file_mode mode, nsh_file **file)
{
    unsigned fills = 0;
    bool again = false;
    int rc;

    do
        rc = CODE(nsh_file_open(c->comm, path, mode, NULL, file));
    while (rc != NSH_ERR_UNSUPPORTED && repeat_create(c->mpi, "nsh_file_open", rc, &fills, &again));
    return rc == NSH_SUCCESS;
}

/* The array with other contents, then with those of the file again. */
static void read_back(context *c, shadow *s, nsh_file *file)
{
    uint64_t other = 0x5555;
    nsh_array *loaded = NULL;
    char *copy = malloc((size_t)(s->size * s->item) + 1);

    CALL(nsh_array_fill(s->array, &other));
    CALL(nsh_file_read(file, "a", s->array));
    s->version = nsh_array_version(s->array);
    check_array(c, s, "nsh_file_read");
    CREATE(c->mpi, nsh_file_load(file, "a", &loaded));
    if (nsh_array_nbytes(loaded) != s->size * s->item ||
        memcmp(nsh_array_data(loaded), s->copy, (size_t)(s->size * s->item)) != 0)
        finding("nsh_file_load gives other contents");
    CALL(nsh_array_free(&loaded));
    if (chaos_below(&c->own, 2) == 0) {
        CALL(
            nsh_file_get(file, "a", NULL, NULL, nsh_array_type(s->array), copy, s->size * s->item));
        if (memcmp(copy, s->copy, (size_t)(s->size * s->item)) != 0)
            finding("nsh_file_get gives other contents");
    }
    free(copy);
}

/* Every rank writes its rows, as the seed has them. */
static void write_rows(context *c, nsh_file *file, int64_t rows, uint64_t seed)
{
    const int64_t extent[2] = {rows, 5};
    int64_t offset[2] = {0, 0}, count[2] = {0, 5}, end;
    uint64_t *data;

    nsh_split(rows, c->size, c->rank, &offset[0], &end);
    count[0] = end - offset[0];
    data = malloc((size_t)count[0] * 5 * 8 + 1);
    for (int64_t i = 0; i < count[0] * 5; i++)
        data[i] = value_of(seed, offset[0] * 5 + i);
    CALL(nsh_file_write_hyperslab(file, "rows", MPI_UINT64_T, 2, extent, data, offset, count));
    free(data);
}

static void check_rows(context *c, nsh_file *file, int64_t rows, uint64_t seed)
{
    nsh_array *loaded = NULL;
    const uint64_t *seen;

    CREATE(c->mpi, nsh_file_load(file, "rows", &loaded));
    seen = nsh_array_data(loaded);
    for (int64_t i = 0; i < rows * 5; i++)
        if (seen[i] != value_of(seed, i))
            finding("row %lld: %llx, not %llx", (long long)i / 5, (unsigned long long)seen[i],
                    (unsigned long long)value_of(seed, i));
    CALL(nsh_array_free(&loaded));
}

void do_file(context *c)
{
    shadow *s = any_array(c);
    uint64_t seed = operation_seed(c, 0);
    int64_t rows = 1 + chaos_below(&c->same, 50);
    nsh_file *file = NULL;
    char path[512];

    if (s == NULL)
        return;
    snprintf(path, sizeof path, "%s/file-%d-%d-%llx.h5", chaos_directory, c->family, c->color,
             (unsigned long long)seed);
    if (!open_file(c, path, NSH_FILE_CREATE, &file))
        return;
    CALL(nsh_file_write(file, "a", s->array));
    write_rows(c, file, rows, seed);
    CALL(nsh_file_close(&file));
    open_file(c, path, NSH_FILE_READ, &file);
    read_back(c, s, file);
    check_rows(c, file, rows, seed);
    CALL(nsh_file_close(&file));
    checked_barrier(c);
    if (c->rank == 0)
        unlink(path);
}
