/* SPDX-License-Identifier: BSD-3-Clause */
/* old_bytes.h -- a file of HDF5's in which new data come where old data were. */
#ifndef NODESHARE_OLD_BYTES_H
#define NODESHARE_OLD_BYTES_H

#include <hdf5.h>

#include "check.h"

/* [local] Make a file that knows of free space, in which are the n old values of a dataset "old"
 * that was deleted. */
static void make_with_old_bytes(const char *path, hid_t type, hsize_t n, const void *old)
{
    hid_t create = H5Pcreate(H5P_FILE_CREATE), space = H5Screate_simple(1, &n, NULL), file, id;

    H5Pset_file_space_strategy(create, H5F_FSPACE_STRATEGY_FSM_AGGR, 1, 1);
    file = H5Fcreate(path, H5F_ACC_TRUNC, create, H5P_DEFAULT);
    for (int k = 0; k < 2; k++) { /* the second one keeps the first from the end of the file */
        id = H5Dcreate2(file, k == 0 ? "old" : "kept", type, space, H5P_DEFAULT, H5P_DEFAULT,
                        H5P_DEFAULT);
        CHECK(H5Dwrite(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, old) >= 0);
        H5Dclose(id);
    }
    H5Sclose(space);
    H5Pclose(create);
    CHECK(H5Ldelete(file, "old", H5P_DEFAULT) >= 0);
    CHECK(H5Fclose(file) >= 0);
}

#endif
