/* SPDX-License-Identifier: BSD-3-Clause */
/* file.h -- what file*.c and snapshot.c know of an open file.
 *
 * Every call has the same shape: the ranks agree on their arguments (enter); the owner, rank 0,
 * does what there is to do with HDF5; its code and what the others have to know reach all of them
 * through a small array of the file's own, the reply (answer); then bytes move, and the ranks agree
 * on how that went. So no rank is ever alone inside a call, and HDF5 never has to agree on
 * anything. */
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
    char path[NSH__PATH], work[NSH__PATH]; /* the target; its working copy */

    /* the owner's */
    nsh__h5 *h5;  /* what is worked on, or else the target; NULL: not open */
    bool working; /* changes that are not committed */
    bool in_work; /* they are in a working copy, not in the target */
    bool failed;  /* a change has failed */

    /* every rank's. The owner always has open what there is; its work_fd holds a lock */
    int target_fd, work_fd; /* -1: not open */
    int dirty_fd;           /* which of them was written to since the last commit; -1: none */
    int invalid;            /* the code of the first change of a new file that failed; 0: none */
    nsh__call invalid_by;   /* that change */
    bool there;             /* there is a target, which this handle reads and continues */
    nsh__identity target;   /* which file that is, whatever is at path by now */
    nsh__reader *reader;    /* of nsh_file_get; NULL: none */
};

/* Where the bytes of the file now are, for ranks that go around HDF5. */
typedef struct nsh__place {
    nsh__identity identity;
    int64_t alone;            /* only rank 0's node sees what has been written */
    char suffix[NSH__SUFFIX]; /* of the working copy's path; "": the target itself */
} nsh__place;

/* What the owner says about a dataset. */
typedef struct nsh__found {
    nsh__place place;
    nsh__dataset dataset;
} nsh__found;

static inline bool nsh__file_is_io_rank(const nsh_file *file)
{
    return file->comm->rank == 0;
}

/* [local] A call without an object has nobody to agree with. */
int nsh__file_null(nsh__call call, const char *what);

/* [collective] The ranks agree on their codes, and on signature, a hash of what must be equal. */
int nsh__file_enter(nsh_file *file, nsh__call call, int code, uint64_t signature);

/* The signature of a name. NSH_ERR_ARG in *code, unless there is a failure already: no name at all,
 * or none that HDF5 takes. */
uint64_t nsh__file_name_signature(const nsh_file *file, nsh__call call, const char *name,
                                  int *code);

/* [collective] The owner's code, and on success its reply of so many bytes, reach all ranks. */
int nsh__file_answer(nsh_file *file, nsh__call call, int code, void *reply, int64_t bytes);

/* [collective] The same for a reply of any length: on success *reply is new memory on all ranks
 * (the owner's stays its own). */
int nsh__file_answer_long(nsh_file *file, nsh__call call, int code, char **reply, int64_t *bytes);

/* By the owner: h5 is open, for reading, or as a working copy that may be changed. */
int nsh__file_readable(nsh_file *file, nsh__call call);
int nsh__file_writable(nsh_file *file, nsh__call call);

/* By any rank: give up what was changed and is not committed. */
void nsh__file_discard(nsh_file *file);

/* [local] Accepts one that is not open; *fd is -1 afterwards. */
void nsh__file_close_fd(int *fd);

/* By every rank at its end, a change has come to this code, which is returned. What failed in
 * earnest spoils the file; of a file that is new, whatever failed: it would not be whole. */
int nsh__file_changed(nsh_file *file, nsh__call call, int code);

/* By the owner: where the bytes are, and how many the file has. */
int nsh__file_place(nsh_file *file, nsh__call call, nsh__place *out, int64_t *bytes);

/* This rank's descriptor for the file at place, which must be the same file everywhere: the one it
 * has kept, or what is found at the path. It stays the file's. NSH_ERR_STATE: the target that this
 * handle knows cannot be reached from here any more. NSH_ERR_IO: nor can its working copy. */
int nsh__file_fd(nsh_file *file, nsh__call call, const nsh__place *place, int *fd);

/* [local] Accepts a file without one. */
void nsh__file_reader_free(nsh_file *file);

/* By the owner: look a dataset up and, where array is given, demand its type and, where whole is,
 * its extent. */
int nsh__file_find(nsh_file *file, nsh__call call, const char *name, const nsh_array *array,
                   bool whole, nsh__found *out);

/* Is array one that may be written or read now? NSH_ERR_ARG, NSH_ERR_STATE. */
int nsh__file_check_array(const nsh_file *file, nsh__call call, const nsh_array *array);

/* [collective] Bytes of the hyperslab (offset, count) of a dataset that was found into the array,
 * from element into_offset on. Arguments are agreed on and have been checked. */
int nsh__file_fetch(nsh_file *file, nsh__call call, const char *name, const nsh__found *found,
                    const int64_t offset[], const int64_t count[], nsh_array *into,
                    const int64_t into_offset[]);

/* Behind `more` dimensions, has the dataset this extent? */
bool nsh__file_same_extent(const nsh__dataset *dataset, int ndim, const int64_t extent[], int more);

/* Has the dataset elements of this form? NSH_ERR_TYPE, worded with both. */
int nsh__file_same_element(const char *call, const char *name, const nsh__dataset *dataset,
                           const nsh__element *element);

/* Has the dataset elements of this form and, behind `more` dimensions of which the first one grows,
 * this extent? NSH_ERR_TYPE, NSH_ERR_ARG, worded with both. */
int nsh__file_fits(nsh__call call, const char *name, const nsh__dataset *dataset,
                   const nsh__element *element, int ndim, const int64_t extent[], int more);

/* One rank's hyperslab of a whole that all write together. */
typedef struct nsh__partition {
    const nsh__type *type;
    int ndim;
    const int64_t *extent;
    const char *data; /* packed */
    int64_t offset[NSH__MAX_NDIM], count[NSH__MAX_NDIM];
    int64_t nbytes;
} nsh__partition;

/* Describe it, and the type, which the share then points to; signature: what must be equal. */
int nsh__file_share(const nsh_file *file, nsh__call call, MPI_Datatype handle, int ndim,
                    const int64_t extent[], const void *data, const int64_t offset[],
                    const int64_t count[], nsh__type *type, nsh__partition *out,
                    uint64_t *signature);

/* [local] Does the share lie in the file in several runs, too short to be written by themselves? */
bool nsh__file_is_short(const nsh__partition *share);

/* [collective] Shares that lie in the file in short runs are merged in memory and then written by
 * the nodes; found is in one piece. has_bytes: this rank has a share. The outcome is agreed. */
int nsh__file_merge(nsh_file *file, nsh__call call, const nsh__found *found,
                    const nsh__partition *share, bool has_bytes);

/* [collective] The owner gets everybody's share and writes it with HDF5 to dataset name, in front
 * of whose dimensions there may be one more, at `leading`; -1: there is not. chunk: of the dataset,
 * in the share's dimensions. The outcome is agreed. */
int nsh__file_gather(nsh_file *file, nsh__call call, const char *name, const nsh__partition *share,
                     int64_t leading, const int64_t chunk[]);

/* The calls of the same names, for others to call. */
int nsh__file_open(nsh_comm *comm, nsh__call call, const char *path, nsh_file_mode mode,
                   const nsh_file_options *options, nsh_file **out);
int nsh__file_close(nsh_file **file, nsh__call call);
int nsh__file_write(nsh_file *file, nsh__call call, const char *name, const nsh_array *array);
int nsh__file_read(nsh_file *file, nsh__call call, const char *name, nsh_array *into);

/* [collective] Could nsh__file_read read it? */
int nsh__file_match(nsh_file *file, nsh__call call, const char *name, const nsh_array *into);

#endif
