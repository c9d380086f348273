/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_file.c -- libFuzzer: any bytes as a file, everything in it looked at and loaded.
 *
 *     NSH_FUZZ_SEEDS=DIR fuzz_file     write small good files into DIR, to begin with */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <nodeshare.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static nsh_comm *comm;
static char path[64];

static void must(int code)
{
    if (code == NSH_SUCCESS)
        return;
    fprintf(stderr, "fuzz_file: %s\n", nsh_error_detail());
    exit(1);
}

static nsh_file *seed(const char *directory, const char *name)
{
    nsh_file *file;
    char where[512];

    snprintf(where, sizeof where, "%.400s/%s", directory, name);
    must(nsh_file_open(comm, where, NSH_FILE_CREATE, NULL, &file));
    return file;
}

static void make_seeds(const char *directory)
{
    const int64_t extent[] = {3, 4};
    const double points[] = {1, 2, 3};
    nsh_array *whole, *real;
    nsh_file *file;

    must(nsh_array_create(comm, MPI_INT32_T, 2, extent, NULL, &whole));
    must(nsh_array_create(comm, MPI_C_DOUBLE_COMPLEX, 1, extent, NULL, &real));
    file = seed(directory, "one");
    must(nsh_file_write(file, "x", whole));
    must(nsh_file_close(&file));
    file = seed(directory, "series");
    for (int i = 0; i < 3; i++)
        must(nsh_file_append(file, "g/u", real));
    must(nsh_file_set_attr(file, NULL, "title", NSH_ATTR_TEXT, -1, "seed"));
    must(nsh_file_set_attr(file, "g/u", "units", NSH_ATTR_DOUBLE, 3, points));
    must(nsh_file_close(&file));
    file = seed(directory, "scale");
    must(nsh_file_write(file, "x", whole));
    must(nsh_file_set_dim(file, "x", 0, "height", "m", points));
    must(nsh_file_close(&file));
    exit(0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *directory = getenv("NSH_FUZZ_SEEDS");

    (void)argc;
    (void)argv;
    must(nsh_comm_create_serial(&comm));
    if (directory != NULL)
        make_seeds(directory);
    snprintf(path, sizeof path, "/dev/shm/nsh-fuzz-%ld", (long)getpid());
    return 0;
}

static void look_at_attrs(nsh_file *file, const char *object)
{
    static const nsh_attr_type types[] = {NSH_ATTR_TEXT, NSH_ATTR_INT64, NSH_ATTR_DOUBLE};
    char **names;
    int64_t n, count;
    void *values;

    if (nsh_file_list_attrs(file, object, &n, &names) != NSH_SUCCESS)
        return;
    for (int64_t i = 0; i < n; i++)
        for (int t = 0; t < 3; t++)
            if (nsh_file_get_attr(file, object, names[i], types[t], &count, &values) == NSH_SUCCESS)
                free(values);
    free(names);
}

static void look_at_dataset(nsh_file *file, const char *name)
{
    enum { MOST = 1 << 20 };
    nsh_array *array = NULL;
    nsh_dataset_info info = NSH_DATASET_INFO_INIT;

    look_at_attrs(file, name);
    if (nsh_file_info(file, name, &info) != NSH_SUCCESS || info.elements > MOST / info.itemsize)
        return;
    if (nsh_file_load(file, name, &array) == NSH_SUCCESS)
        nsh_array_free(&array);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    nsh_file *file = NULL;
    char **names;
    int64_t n;

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    close(fd);
    if (nsh_file_open(comm, path, NSH_FILE_READ, NULL, &file) == NSH_SUCCESS) {
        look_at_dataset(file, "x"); /* the seeds' names: listing is where libhdf5 breaks first */
        look_at_dataset(file, "g/u");
        look_at_attrs(file, NULL);
        if (nsh_file_list(file, &n, &names) == NSH_SUCCESS) {
            for (int64_t i = 0; i < n; i++)
                look_at_dataset(file, names[i]);
            free(names);
        }
        nsh_file_close(&file);
    }
    unlink(path);
    return 0;
}
