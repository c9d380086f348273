/* test_file_version.c -- ranks: 1  layouts: serial
 * seconds: 30
 */
/* SPDX-License-Identifier: BSD-3-Clause */
/* The process has another HDF5 than the library was built with: here, because this program has the
 * functions that HDF5 is asked with. HDF5's own check of that ends the process. */
#define _GNU_SOURCE
#include "check.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>

#include <nodeshare.h>

#include "scratch.h"

int H5get_libversion(unsigned *major, unsigned *minor, unsigned *release);
int H5check_version(unsigned major, unsigned minor, unsigned release);

static unsigned more[3]; /* what is added to the version */
static bool was_checked;

int H5get_libversion(unsigned *major, unsigned *minor, unsigned *release)
{
    int (*real)(unsigned *, unsigned *, unsigned *) = NULL;
    int rc;

    *(void **)&real = dlsym(RTLD_NEXT, "H5get_libversion");
    rc = real != NULL ? real(major, minor, release) : -1;
    *major += more[0];
    *minor += more[1];
    *release += more[2];
    return rc;
}

int H5check_version(unsigned major, unsigned minor, unsigned release)
{
    (void)major, (void)minor, (void)release;
    was_checked = true;
    return 0;
}

int main(int argc, char **argv)
{
    nsh_comm *comm = NULL;
    nsh_file *file = NULL;
    const char *path;

    check_init(&argc, &argv);
    CHECK_ALL(nsh_comm_create(MPI_COMM_WORLD, NULL, &comm), NSH_SUCCESS);
    if (dlsym(RTLD_NEXT, "H5get_libversion") == NULL)
        check_skip("built without HDF5, or with a static one");
    scratch_make();
    path = scratch_path("v.h5");
    check_case("another HDF5");
    for (int i = 0; i < 2; i++) {
        more[i] = 90;
        CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_CREATE, NULL, &file), NSH_ERR_UNSUPPORTED);
        CHECK_HAS(nsh_error_detail(), "built with HDF5 1.");
        CHECK_HAS(nsh_error_detail(), i == 0 ? "the process has HDF5 91." : "HDF5 1.1");
        more[i] = 0;
    }
    check_case("another release of the same HDF5");
    more[2] = 1;
    CHECK_ALL(nsh_file_open(comm, path, NSH_FILE_CREATE, NULL, &file), NSH_SUCCESS);
    CHECK_ALL(nsh_file_set_attr(file, NULL, "x", NSH_ATTR_TEXT, 1, "y"), NSH_SUCCESS);
    CHECK_ALL(nsh_file_close(&file), NSH_SUCCESS);
    CHECK(!was_checked);
    scratch_remove();
    CHECK_ALL(nsh_comm_free(&comm), NSH_SUCCESS);
    return check_finish();
}
