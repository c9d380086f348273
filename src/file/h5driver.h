/* SPDX-License-Identifier: BSD-3-Clause */
/* h5driver.h -- the driver through which HDF5 reads and writes the bytes of our files.
 *
 * HDF5 cannot recover from a failed write: H5Fclose fails, its file stays half closed, and at the
 * end of the process HDF5 closes it again and crashes. So this driver tells HDF5 that every write
 * has succeeded. The first error is kept, and the caller looks at it after each call of HDF5. From
 * then on nothing is written to the file; what HDF5 writes is kept in memory, and HDF5 reads it
 * back from there, until the file is closed. Only this header includes hdf5.h. Both functions are
 * called inside h5 enter and leave. */
#ifndef NSH_FILE_H5DRIVER_H
#define NSH_FILE_H5DRIVER_H

#include <hdf5.h>
#include <stdbool.h>

/* HDF5 checks its version in many of its macros, and ends the process on a failure.
 * nsh__h5_available checks the version and returns a failure instead. */
#undef H5CHECK
#define H5CHECK

/* What the caller tells the driver about a file, and what the driver reports. */
typedef struct nsh__h5_backing {
    int fd;        /* while a file is opened: the driver opens the file of this descriptor, even if
                      its path has changed; -1: the file at the path */
    int error;     /* errno of the first write that failed; 0: none has */
    bool mine;     /* no other handle has the file, so HDF5 need not lock it */
    bool busy;     /* opening failed because another open file has HDF5's lock */
    bool replaced; /* opening failed because another file is at the path */
    hid_t driver;  /* the driver of this file alone; 0: none */
} nsh__h5_backing;

/* [inside h5 enter/leave] Let the file that is opened with this access list use a driver of its
 * own. The backing must live, and the driver be kept, until both are closed: HDF5 releases its last
 * reference to a driver before it calls the driver to close a file. Negative on failure. */
herr_t nsh__h5_driver_set(hid_t list, nsh__h5_backing *backing);

/* [inside h5 enter/leave] Release the driver of this backing, if it has one. */
void nsh__h5_driver_drop(nsh__h5_backing *backing);

#endif
