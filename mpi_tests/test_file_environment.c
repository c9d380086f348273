/* test_file_environment.c -- ranks: 1  layouts: serial
 * seconds: 30
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* The environment tells HDF5 to reach files through another connector and another driver. They are
 * not for our files: this program has the functions with which they are opened, and looks. */
#define _GNU_SOURCE
#include "check.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include <nodeshare.h>

#include "scratch.h"

/* Of HDF5 1.10 and later; H5VLget_connector_name: of 1.12 and later. */
typedef int64_t hid;
hid H5Fopen(const char *name, unsigned flags, hid access);
hid H5Fcreate(const char *name, unsigned flags, hid create, hid access);

enum { N = 1000 };

static int opened; /* files, in HDF5 */

static hid check_connector(hid file)
{
    long (*connector)(hid, char *, size_t) = NULL;
    char name[32] = "native";

    *(void **)&connector = dlsym(RTLD_NEXT, "H5VLget_connector_name");
    if (connector != NULL && file >= 0)
        CHECK(connector(file, name, sizeof name) > 0);
    CHECK_STR(name, "native");
    opened++;
    return file;
}

hid H5Fopen(const char *name, unsigned flags, hid access)
{
    hid (*real)(const char *, unsigned, hid) = NULL;

    *(void **)&real = dlsym(RTLD_NEXT, "H5Fopen");
    return check_connector(real(name, flags, access));
}

hid H5Fcreate(const char *name, unsigned flags, hid create, hid access)
{
    hid (*real)(const char *, unsigned, hid, hid) = NULL;

    *(void **)&real = dlsym(RTLD_NEXT, "H5Fcreate");
    return check_connector(real(name, flags, create, access));
}

int main(int argc, char **argv)
{
    const int64_t extent = N;
    nsh_array *array = NULL;
    nsh_comm *comm = NULL;
    nsh_file *file = NULL;
    char both[2 * N] = "";
    const char *path, byte = 'x';

    setenv("HDF5_VOL_CONNECTOR", "pass_through under_vol=0;under_info={}", 1);
    setenv("HDF5_DRIVER", "core", 1); /* would keep the file in memory */
    setenv("HDF5_PLUGIN_PATH", "/nowhere", 1);
    check_init(&argc, &argv);
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    if (dlsym(RTLD_NEXT, "H5Fopen") == NULL)
        check_skip("built without HDF5, or with a static one");
    check_case("connectors and drivers of the environment");
    scratch_make();
    path = scratch_path("e.h5");
    CHECK_ALL(nsh_array_create(comm, MPI_BYTE, 1, &extent, NULL, &array), NSH_SUCCESS);
    CHECK_ALL(nsh_array_fill(array, &byte), NSH_SUCCESS);
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_CREATE, NULL, &file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_append(file, "series", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_APPEND, NULL, &file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_append(file, "series", array), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_READ, NULL, &file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_get(file, "series", NULL, NULL, MPI_BYTE, both, sizeof both), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK(both[0] == byte && memcmp(both, both + 1, sizeof both - 1) == 0);
    CHECK(opened >= 3);
    CHECK_ALL(nsh_array_free(&array), NSH_SUCCESS);
    scratch_remove();
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
