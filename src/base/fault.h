/* SPDX-License-Identifier: BSD-3-Clause */
/* fault.h -- places where a test can inject a failure (builds with NSH_FAULTS=1 only).
 *
 * NSH_FAULT=site:nth:rank makes the nth use (from 1) of the site fail on that rank of
 * MPI_COMM_WORLD; rank -1 means every rank. A site stands where the library calls something that
 * can fail. If that call is collective the site stands after it, so that only its result is
 * replaced by a failure. */
#ifndef NSH_BASE_FAULT_H
#define NSH_BASE_FAULT_H

#include <stdbool.h>

/* Every site, as X(name, where). */
#define NSH__FAULT_SITES(X)                                                                        \
    X(comm_alloc, "memory of a communicator")                                                      \
    X(comm_dup, "MPI_Comm_dup of the caller's communicator")                                       \
    X(comm_split, "MPI_Comm_split_type and MPI_Comm_split")                                        \
    X(comm_gather, "MPI_Allgather of the topology")                                                \
    X(comm_attr, "attribute on MPI_COMM_SELF")                                                     \
    X(comm_of_attr, "attribute on the communicator of nsh_comm_of")                                \
    X(helper_start, "start of the helper thread")                                                  \
    X(window_alloc, "MPI_Win_allocate_shared or mmap of a heap window")                            \
    X(window_view, "mremap of the read-only view")                                                 \
    X(heap_alloc, "memory of the heap's metadata")                                                 \
    X(heap_block, "a block of the heap for one object")                                            \
    X(heap_populate, "first touch of shared pages")                                                \
    X(hold_alloc, "memory of a hold")                                                              \
    X(object_alloc, "memory of the list of objects")                                               \
    X(array_alloc, "memory of an array")                                                           \
    X(array_type, "MPI_Type_dup of a derived type")                                                \
    X(gather_alloc, "memory of allgather's table")                                                 \
    X(mutex_alloc, "memory of a mutex")                                                            \
    X(semaphore_alloc, "memory of a semaphore")                                                    \
    X(counter_alloc, "memory of a counter")                                                        \
    X(map_alloc, "memory of a map")                                                                \
    X(map_thread, "pthread_create of a map")                                                       \
    X(batch_alloc, "memory of a batch")                                                            \
    X(journal_open, "open of a journal")                                                           \
    X(journal_lock, "fcntl lock of a journal")                                                     \
    X(journal_read, "pread of a journal")                                                          \
    X(journal_write, "pwrite to a journal")                                                        \
    X(journal_sync, "fdatasync of a journal")                                                      \
    X(words_alloc, "metadata of words")                                                            \
    X(words_window, "MPI_Win_allocate of a window of words")                                       \
    X(words_op, "operation on a word of another node")                                             \
    X(token_send, "MPI_Isend of a token")                                                          \
    X(file_alloc, "memory of a file")                                                              \
    X(file_buffer, "memory for a segment of a file")                                               \
    X(disk_open, "open of a file's bytes")                                                         \
    X(disk_identity, "fstat of a file")                                                            \
    X(disk_lock, "fcntl lock of a file")                                                           \
    X(disk_work, "making a working copy")                                                          \
    X(disk_write, "pwrite")                                                                        \
    X(disk_read, "pread")                                                                          \
    X(disk_sync, "fsync")                                                                          \
    X(disk_rename, "rename of a working copy")                                                     \
    X(h5_open, "H5Fcreate, H5Fopen")                                                               \
    X(h5_pwrite, "pwrite and ftruncate by HDF5")                                                   \
    X(h5_pread, "pread by HDF5")                                                                   \
    X(h5_flush, "H5Fflush")                                                                        \
    X(h5_close, "H5Fclose")                                                                        \
    X(h5_dataset, "H5Dopen")                                                                       \
    X(h5_dataset_close, "H5Dclose of a dataset that was used")                                     \
    X(h5_make, "H5Dcreate")                                                                        \
    X(h5_resize, "H5Dset_extent")                                                                  \
    X(h5_read, "H5Dread")                                                                          \
    X(h5_write, "H5Dwrite")                                                                        \
    X(h5_list, "H5Ovisit")                                                                         \
    X(h5_attr, "attributes and dimension scales")                                                  \
    X(mpi_send, "MPI_Isend between nodes")                                                         \
    X(mpi_recv, "MPI_Irecv between nodes")                                                         \
    X(mpi_test, "completion of a message")                                                         \
    X(mpi_probe, "MPI_Iprobe of a rank that waits")                                                \
    X(words_serve, "service of a request for a word at its home")                                  \
    X(mpi_reduce, "MPI_Reduce_local and MPI_Ireduce")

#ifdef NSH_FAULTS
/* [local] Does this use of the site fail? */
bool nsh__fault_here(const char *site);
/* The names of all sites, with NULL at the end. */
extern const char *const nsh__fault_sites[];
#define nsh__fault(site) nsh__fault_here(#site)
#else
#define nsh__fault(site) false
#endif

#endif
