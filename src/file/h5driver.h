/* SPDX-License-Identifier: BSD-3-Clause */
/* h5driver.h -- the driver through which HDF5 reads and writes the bytes of our files.
 *
 * HDF5 does not get over a failed write: H5Fclose fails, its file stays half closed, and the end of
 * the process closes it again and crashes. So this driver tells HDF5 that every write has
 * succeeded. The first error is kept, and the caller looks at it after each call of HDF5. From then
 * on nothing more goes to the file; what HDF5 writes is kept in memory, and HDF5 reads it back from
 * there, until the file is closed. Only this header includes hdf5.h. */
#ifndef NSH_FILE_H5DRIVER_H
#define NSH_FILE_H5DRIVER_H

#include <hdf5.h>
#include <stdbool.h>

/* HDF5's own check of its version, which is in many of its macros, ends the process.
 * nsh__h5_available checks it and says so. */
#undef H5CHECK
#define H5CHECK

/* What the driver is told of a file, and what it tells. */
typedef struct nsh__h5_backing {
    int fd;        /* while a file is opened: what is opened is the file behind this descriptor,
                      whatever has become of its path; -1: the file at the path */
    int error;     /* errno of the first write that failed; 0: none has */
    bool mine;     /* nobody else has it: HDF5 need not lock it */
    bool busy;     /* opening has failed: another open file has HDF5's lock */
    bool replaced; /* opening has failed: another file is at the path */
    hid_t driver;  /* its own; 0: none */
} nsh__h5_backing;

/* Let the file that is opened with this access list use a driver of its own. The backing has to
 * live, and the driver to be kept, until both are closed: HDF5 gives its last name of a driver up
 * before it calls it to close a file. Negative on failure. */
herr_t nsh__h5_driver_set(hid_t list, nsh__h5_backing *backing);

/* Nothing, if there is none. */
void nsh__h5_driver_drop(nsh__h5_backing *backing);

#endif
