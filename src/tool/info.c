/* SPDX-License-Identifier: BSD-3-Clause */
/* info.c -- nsh info: what is in an HDF5 file, one line for each dataset. */
#include "tool/tool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

static int complain_of_file(const char *path)
{
    fprintf(stderr, "nsh info: %s: %s\n", path, nsh_error_detail());
    return 1;
}

/* Print "name = value", with dots for control characters, cut off unless all is true. */
static void print_attr(nsh_file *file, const char *object, const char *attr, bool all)
{
    enum { CUT = 60 };
    char *text = NULL;
    int64_t n = 0;

    if (nsh_file_get_attr(file, object, attr, NSH_ATTR_TEXT, &n, (void **)&text) != NSH_SUCCESS) {
        printf("%s = ?", attr);
        return;
    }
    printf("%s = ", attr);
    for (int64_t i = 0; i < n && (all || i < CUT); i++)
        putchar((unsigned char)text[i] < ' ' ? '.' : text[i]);
    fputs(!all && n > CUT ? "..." : "", stdout);
    free(text);
}

static int print_file_attrs(nsh_file *file, const char *path, bool verbose)
{
    char **names;
    int64_t n;

    if (nsh_file_list_attrs(file, NULL, &n, &names) != NSH_SUCCESS)
        return complain_of_file(path);
    for (int64_t i = 0; i < n; i++) {
        fputs("attribute  ", stdout);
        print_attr(file, NULL, names[i], verbose);
        putchar('\n');
    }
    free(names);
    return 0;
}

static void print_shape(int ndim, const int64_t *numbers)
{
    putchar('[');
    for (int d = 0; d < ndim; d++)
        printf("%s%" PRId64, d > 0 ? " x " : "", numbers[d]);
    putchar(']');
}

/* Print the dataset's attributes: names at the end of its line, or one line for each with its
 * values. */
static void print_attrs(nsh_file *file, const char *name, bool verbose)
{
    char **names;
    int64_t n;

    if (nsh_file_list_attrs(file, name, &n, &names) != NSH_SUCCESS)
        return;
    if (n > 0 && !verbose)
        fputs(", attributes", stdout);
    for (int64_t i = 0; i < n; i++) {
        if (verbose) {
            fputs("\n    ", stdout);
            print_attr(file, name, names[i], true);
        } else {
            printf(" %s", names[i]);
        }
    }
    free(names);
}

static int print_dataset(nsh_file *file, const char *name, bool verbose)
{
    nsh_dataset_info info = NSH_DATASET_INFO_INIT;
    int rc = nsh_file_info(file, name, &info);

    if (rc != NSH_SUCCESS) {
        printf("%s  (%s)\n", name, nsh_error_detail());
        return rc == NSH_ERR_TYPE ? 0 : 1; /* a type that no array can have is not damage */
    }
    printf("%s  %s ", name, info.type);
    print_shape(info.ndim, info.extent);
    if (info.growing)
        fputs(" growing", stdout);
    if (info.ndim > 0 && info.chunk[0] > 0) {
        fputs(", chunks ", stdout);
        print_shape(info.ndim, info.chunk);
    }
    if (info.filters[0] != '\0')
        printf(", %s", info.filters);
    printf(", %" PRId64 " bytes", info.stored);
    if (verbose)
        printf(" on disk, %" PRId64 " in memory, %" PRId64 " an element",
               info.elements * info.itemsize, info.itemsize);
    print_attrs(file, name, verbose);
    putchar('\n');
    return 0;
}

static int print_datasets(nsh_file *file, const char *path, bool verbose)
{
    int code = 0;
    char **names;
    int64_t n;

    if (nsh_file_list(file, &n, &names) != NSH_SUCCESS)
        return complain_of_file(path);
    for (int64_t i = 0; i < n; i++)
        code |= print_dataset(file, names[i], verbose);
    free(names);
    return code;
}

int tool_info(int argc, char **argv)
{
    bool verbose = false;
    const char *path = NULL;
    nsh_file *file;
    nsh_comm *comm;
    int code, rank;

    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], "-v") == 0)
            verbose = true;
        else if (path == NULL && argv[i][0] != '-')
            path = argv[i];
        else
            argc = 0;
    if (argc == 0 || path == NULL) {
        fprintf(stderr, "usage: nsh info FILE [-v]\n");
        return 2;
    }
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank != 0)
        return 0;
    tool_must(nsh_comm_create_serial(&comm), "communicator");
    if (nsh_file_open(comm, path, NSH_FILE_READ, NULL, &file) != NSH_SUCCESS) {
        code = complain_of_file(path);
    } else {
        code = print_file_attrs(file, path, verbose);
        code |= print_datasets(file, path, verbose);
        nsh_file_close(&file);
    }
    tool_must(nsh_comm_free(&comm), "free");
    return code;
}
