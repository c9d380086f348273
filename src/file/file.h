/* SPDX-License-Identifier: BSD-3-Clause */
/* file.h -- what file*.c and snapshot.c know of an open file.
 *
 * Every collective call has the same steps: the ranks agree on their arguments (enter); rank 0, the
 * I/O rank, calls HDF5; its code and what the other ranks need to know reach them through a small
 * array that belongs to the file, the reply (answer); then bytes move, and the ranks agree on the
 * outcome. So no rank returns early, and HDF5 needs no communication of its own. [I/O rank] means:
 * called by rank 0 alone, between two agreements of a collective call. */
#ifndef NSH_FILE_FILE_H
#define NSH_FILE_FILE_H

#include <nodeshare/file.h>

#include "array/array.h"
#include "disk/disk.h"
#include "file/h5.h"
#include "disk/identity.h"

enum {
    NSH__SUFFIX = 96,
    NSH__FILE_REPLY = 16 << 10 /* bytes of a reply: within one message between nodes */
};

typedef struct nsh__reader nsh__reader;

struct nsh_file {
    nsh_comm *comm;
    nsh_array *reply; /* counts as the file among the communicator's objects */
    nsh_file_mode mode;
    int writers;   /* nodes that write */
    bool coherent; /* all hosts see at once what one has written */
    bool in_place;
    char path[NSH__PATH], work[NSH__PATH]; /* the target and its working copy */

    /* on the I/O rank only */
    nsh__h5 *h5;  /* the working copy if there is one, else the target; NULL: not open */
    bool working; /* changes that are not committed */
    bool in_work; /* they are in a working copy, not in the target */
    bool failed;  /* a change has failed */

    /* on every rank. On the I/O rank the files that exist are open, and work_fd holds a lock */
    int target_fd, work_fd; /* -1: not open */
    int dirty_fd;           /* which of them was written to since the last commit; -1: none */
    int invalid;            /* the code of the first change of a new file that failed; 0: none */
    nsh__call invalid_by;   /* that change */
    bool there;             /* a target exists, which this handle reads and continues */
    nsh__identity target;   /* identity of the target; path may lead to another file by now */
    nsh__reader *reader;    /* of nsh_file_get; NULL: none yet */
};

/* The file that has the bytes now, for ranks that read or write it without HDF5. */
typedef struct nsh__place {
    nsh__identity identity;
    int64_t alone;            /* only rank 0's node sees what has been written */
    char suffix[NSH__SUFFIX]; /* of the working copy's path; "": the target itself */
} nsh__place;

/* What the I/O rank tells the others about a dataset. */
typedef struct nsh__found {
    nsh__place place;
    nsh__dataset dataset;
} nsh__found;

static inline bool nsh__file_is_io_rank(const nsh_file *file)
{
    return file->comm->rank == 0;
}

/* [local] The failure of a call with a NULL handle, which has no communicator for an agreement. */
int nsh__file_null(nsh__call call, const char *what);

/* [collective] The ranks agree on their codes, and on signature, a hash of what must be equal. */
int nsh__file_enter(nsh_file *file, nsh__call call, int code, uint64_t signature);

/* [local] The signature of a name. If *code is NSH_SUCCESS it becomes NSH_ERR_ARG for a name that
 * is NULL or that HDF5 does not accept. */
uint64_t nsh__file_name_signature(const nsh_file *file, nsh__call call, const char *name,
                                  int *code);

/* [collective] Send the I/O rank's code, and on success its reply of `bytes` bytes, to all ranks.
 */
int nsh__file_answer(nsh_file *file, nsh__call call, int code, void *reply, int64_t bytes);

/* [collective] The same for a reply of any length. On success *reply is new memory on all ranks but
 * the I/O rank, which keeps its own; every rank frees it. */
int nsh__file_answer_long(nsh_file *file, nsh__call call, int code, char **reply, int64_t *bytes);

/* [I/O rank] Open h5 if it is not open: for reading, or as a working copy that may be changed. */
int nsh__file_readable(nsh_file *file, nsh__call call);
int nsh__file_writable(nsh_file *file, nsh__call call);

/* [local] Discard the changes that are not committed. Called by any rank. */
void nsh__file_discard(nsh_file *file);

/* [local] Close *fd, which may be -1; it is -1 afterwards. */
void nsh__file_close_fd(int *fd);

/* [local] Called by every rank at the end of a change with its agreed code, which it returns. After
 * IO, FORMAT, MPI or INTERNAL the file has failed; after any failure a new file is invalid, because
 * it would be incomplete. */
int nsh__file_changed(nsh_file *file, nsh__call call, int code);

/* [I/O rank] Which file has the bytes, and its length. */
int nsh__file_place(nsh_file *file, nsh__call call, nsh__place *out, int64_t *bytes);

/* [local] This rank's descriptor for the file at place: the one that is open already, or the file
 * at the path, if its identity is the right one. The file handle closes it. Called by ranks that
 * read or write without HDF5, between agreements. NSH_ERR_STATE: this rank cannot reach the target
 * of this handle any more. NSH_ERR_IO: it cannot reach the working copy. */
int nsh__file_fd(nsh_file *file, nsh__call call, const nsh__place *place, int *fd);

/* [local] Free the reader of nsh_file_get, if the file has one. */
void nsh__file_reader_free(nsh_file *file);

/* [I/O rank] Look a dataset up. If array is not NULL the dataset must have its type and, if whole
 * is true, its extent. */
int nsh__file_find(nsh_file *file, nsh__call call, const char *name, const nsh_array *array,
                   bool whole, nsh__found *out);

/* [local] May this array be written or read now? NSH_ERR_ARG, NSH_ERR_STATE. */
int nsh__file_check_array(const nsh_file *file, nsh__call call, const nsh_array *array);

/* [collective] Read the hyperslab (offset, count) of a dataset that was found into the array, from
 * its element into_offset on. The arguments have been checked and agreed on. */
int nsh__file_fetch(nsh_file *file, nsh__call call, const char *name, const nsh__found *found,
                    const int64_t offset[], const int64_t count[], nsh_array *into,
                    const int64_t into_offset[]);

/* [local] Does the dataset have this extent after its first `more` dimensions? */
bool nsh__file_same_extent(const nsh__dataset *dataset, int ndim, const int64_t extent[], int more);

/* [local] NSH_ERR_TYPE if the dataset has elements of another type; the detail names both types. */
int nsh__file_same_element(const char *call, const char *name, const nsh__dataset *dataset,
                           const nsh__element *element);

/* [local] NSH_ERR_TYPE if the dataset has elements of another type, NSH_ERR_ARG if it does not have
 * this extent after `more` dimensions, of which the first one grows; the detail names both. */
int nsh__file_fits(nsh__call call, const char *name, const nsh__dataset *dataset,
                   const nsh__element *element, int ndim, const int64_t extent[], int more);

/* One rank's hyperslab of a dataset that all ranks write together. */
typedef struct nsh__partition {
    const nsh__type *type;
    int ndim;
    const int64_t *extent;
    const char *data; /* packed */
    int64_t offset[NSH__MAX_NDIM], count[NSH__MAX_NDIM];
    int64_t nbytes;
} nsh__partition;

/* [local] Check the arguments and fill *out and *type, to which *out then points. *signature is the
 * hash of what must be equal on all ranks. */
int nsh__file_partition(const nsh_file *file, nsh__call call, MPI_Datatype handle, int ndim,
                        const int64_t extent[], const void *data, const int64_t offset[],
                        const int64_t count[], nsh__type *type, nsh__partition *out,
                        uint64_t *signature);

/* [local] Does the partition lie in the file in several runs that are too short to be written one
 * by one? */
bool nsh__file_is_short(const nsh__partition *partition);

/* [collective] Merge partitions that lie in the file in short runs in memory, and let the nodes
 * write them; the dataset `found` is contiguous. has_bytes: this rank has a partition. The outcome
 * is agreed. */
int nsh__file_merge(nsh_file *file, nsh__call call, const nsh__found *found,
                    const nsh__partition *partition, bool has_bytes);

/* [collective] The I/O rank receives the partitions of all ranks and writes them with HDF5 to
 * dataset name. The dataset may have one more dimension in front; `leading` is the index there, or
 * -1. chunk: of the dataset, in the partition's dimensions. The outcome is agreed. */
int nsh__file_gather(nsh_file *file, nsh__call call, const char *name,
                     const nsh__partition *partition, int64_t leading, const int64_t chunk[]);

/* [collective] The public functions of the same names, for callers inside the library. */
int nsh__file_open(nsh_comm *comm, nsh__call call, const char *path, nsh_file_mode mode,
                   const nsh_file_options *options, nsh_file **out);
int nsh__file_close(nsh_file **file, nsh__call call);
int nsh__file_write(nsh_file *file, nsh__call call, const char *name, const nsh_array *array);
int nsh__file_read(nsh_file *file, nsh__call call, const char *name, nsh_array *into);

/* [collective] Would nsh__file_read succeed? Returns the code that it would return, and reads
 * nothing. */
int nsh__file_match(nsh_file *file, nsh__call call, const char *name, const nsh_array *into);

#endif
