/* SPDX-License-Identifier: BSD-3-Clause */
/* file.h -- arrays to and from HDF5 files: snapshots, hyperslabs, series.
 *
 * What is written is plain HDF5 that h5dump, h5py, Julia and MATLAB read; files of other programs
 * can be read if their elements have a fixed size. Names with slashes ("run/step7/t") are groups;
 * no part of a name is ".".
 *
 * A changed file is a working copy beside its path ("path.tmp-HOST-PID-N.nsh") until
 * nsh_file_commit or nsh_file_close has put it on disk and renamed it: a program that opens path
 * sees the whole old file or the whole new one, even if the job is killed at any moment. A working
 * copy that a killed job has left is removed when the same path is next opened for a change and its
 * lock shows that no process uses it. Other programs must not write to it: what they write is
 * committed too.
 *
 * How: rank 0 alone calls HDF5. The bytes of datasets that lie in one piece in the file go around
 * it: one rank of each node writes or reads its part, and on several nodes sends what it has read
 * to the others, so that each byte is read from disk once. Other layouts (chunks, filters, foreign
 * byte orders) go through rank 0 in segments of at most 64 MiB, or one chunk.
 *
 * Types: predefined MPI types become HDF5's native ones, MPI_C_BOOL the enum FALSE, TRUE that h5py
 * uses, complex the compound (r, i), derived structs compounds with members f0, f1, ..., several in
 * a row arrays; other derived types are opaque. A type that is not a number gets a name in the
 * file's root (_bool, _complex128, _struct_...), as netCDF needs it.
 *
 * Errors of every function, beside those it names: UNSUPPORTED (built without HDF5, as nsh topo
 * says, or the process has another HDF5 than the library was built with),
 * ARG (NULL), STATE (communicator is broken; the file is open for reading only, or a change of it
 * has failed), MISMATCH, NOMEM, IO (the system's reason or HDF5's is in the detail), FORMAT (the
 * file is not HDF5, damaged or truncated), MPI.
 *
 * Caveats
 *   - After a change has failed (IO) the file cannot be committed any more: nsh_file_close returns
 *     STATE and discards the working copy, and the old file stays.
 *   - After any change of a new file has failed, whatever the reason (a name that exists, an
 *     invalid argument), it would be incomplete: its commit returns STATE, and what is at the path
 *     stays. Until its first commit a file is new if it was opened with NSH_FILE_CREATE or _EXCL,
 *     or with NSH_FILE_APPEND where no file existed.
 *   - When reading fails half way (IO, FORMAT), the hyperslab that was to be read is indeterminate.
 *   - A change of a file that exists (NSH_FILE_APPEND, or any change after a commit) first copies
 *     it: commit as often as you would take a checkpoint, not after every frame. On file systems
 *     that can share blocks between files (XFS, btrfs) the copy shares them. Option in_place makes
 *     no copy.
 *   - Elements of a dataset that no rank has written are zero.
 *   - A write of HDF5 that fails (a full disk, a quota, RLIMIT_FSIZE) is reported as IO by the call
 *     in which it happens, at the latest by nsh_file_commit or nsh_file_close; HDF5 may buffer
 *     writes until then.
 *   - A program may also use HDF5 itself. While it has a file open with HDF5 for writing, opening
 *     that file here is STATE; while it has it open for reading, only changing it in place is.
 *     Where HDF5 locks files, a file that another process has open like that is BUSY; the
 *     environment variable HDF5_USE_FILE_LOCKING=FALSE turns that off, as for HDF5. The file is
 *     always reached with HDF5's native connector, whatever HDF5_VOL_CONNECTOR and HDF5_DRIVER say.
 *     But where one of them names something that HDF5 (1.12 and later) does not find, HDF5 itself
 *     cannot be initialised: it prints why, and every call here is UNSUPPORTED.
 *   - All nodes must see the file under the same path.
 *   - HDF5 before 1.14 is not hardened against hostile files: a file that was damaged on purpose
 *     may make libhdf5 crash.
 *   - A handle keeps using the file that it opened or last committed, even if another program has
 *     put another file at the path since. One rank of each node keeps it open from nsh_file_open
 *     on. A rank that opens the path later and finds another file there does not read it: the call
 *     returns STATE, "replaced". Ranks of one host compare device and inode number; between hosts
 *     inode number, size, time of the last change and the first bytes are compared.
 *   - One handle at a time changes a file that exists: it holds a lock (an open file description
 *     lock) on the file from nsh_file_open (NSH_FILE_APPEND) or its first commit until it is
 *     closed, and nsh_file_open for NSH_FILE_APPEND returns BUSY meanwhile. Readers, and
 *     NSH_FILE_CREATE, which replaces the file, do not take the lock.
 *   - A commit never replaces a file that another program has written to, or put there, since this
 *     handle opened or last committed it, as far as can be seen just before: it returns STATE, and
 *     that file stays. (NSH_FILE_CREATE replaces any file at its first commit.) A change of owner,
 *     mode or links does not count. If the file has been removed meanwhile, the commit creates it
 *     again.
 *   - On network file systems (all but ext4, XFS, btrfs, ZFS, tmpfs and their like) the file is not
 *     locked, because there a lock may keep out programs that read with HDF5: two handles can
 *     change it at the same time, and the later commit returns STATE. NSH_LOG=1 reports such a file
 *     system. There, and on file systems without locks, a working copy that a job on another host
 *     has left is not removed either: remove it yourself when that job has ended.
 *   - A file that replaces another takes over its owner, group, permissions, access control lists
 *     and users' extended attributes, as far as the system lets this user set them; if the group
 *     cannot be set, the new group gets only the permissions that everybody has. Other names of the
 *     old file (hard links) keep the old file. NSH_LOG=1 names what was not kept. Option in_place
 *     keeps all of it.
 *   - netCDF knows neither long double, at which its tools crash, nor elements that are arrays,
 *     which it leaves out: keep such datasets in files of their own. It shows bool as the integers
 *     of an enum, complex and structs as compounds, opaque elements as such. In files of other
 *     programs that do not track the order of creation it finds these types only for datasets whose
 *     names sort after those of the types.
 *   - On NFS, SMB, 9p, FUSE and every file system that is not known to show all hosts the same
 *     state at once (the local ones are known, and Lustre, GPFS, GFS2, OCFS2, Ceph; NSH_LOG=1 names
 *     the type of any other), the node of rank 0 alone writes and, until the commit, reads. There a
 *     program on another host sees what was committed when it opens the file after nsh_file_commit
 *     or nsh_file_close has returned (close-to-open); one that has the file open keeps reading the
 *     old one, or, with in_place, may see old and new bytes mixed. A host that caches names (NFS:
 *     option acdirmax, a minute) may still open the old file for that time. With option writers
 *     above 1 commit there before you read what other nodes have written.
 *   - Nodes that write one array divide it at multiples of 1 MiB of the file, so that no two of
 *     them write to one page. Hyperslabs are divided as the ranks pass them.
 */
#ifndef NODESHARE_FILE_H
#define NODESHARE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include <mpi.h>

#include <nodeshare/array.h>
#include <nodeshare/comm.h>
#include <nodeshare/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nsh_file nsh_file;

/* What to do if the file exists, and if it does not. */
typedef enum nsh_file_mode {
    NSH_FILE_CREATE = 0, /* a new file, which replaces the old one when it is committed */
    NSH_FILE_EXCL,       /* a new file; NSH_ERR_EXISTS if the file exists, now or at the commit */
    NSH_FILE_READ,       /* an existing file, for reading */
    NSH_FILE_APPEND      /* an existing file to be changed, or a new one */
} nsh_file_mode;

/* The type of an attribute's values, as the caller has or wants them. */
typedef enum nsh_attr_type {
    NSH_ATTR_TEXT = 0, /* char */
    NSH_ATTR_INT64,    /* int64_t */
    NSH_ATTR_DOUBLE,   /* double */
    NSH_ATTR_INT32,    /* int32_t */
    NSH_ATTR_FLOAT     /* float */
} nsh_attr_type;

typedef struct nsh_file_options {
    size_t size;  /* set by NSH_FILE_OPTIONS_INIT */
    int writers;  /* how many nodes write at the same time; 0: all, but where hosts may not see each
                     other's changes at once (see Caveats) only that of rank 0. Equal on all ranks,
                     like in_place */
    int in_place; /* not 0: NSH_FILE_APPEND changes the file itself. No copy, but a kill, a full
                     disk or any other failed change may then leave a damaged file; commit puts the
                     present state on disk. HDF5's own lock is taken: a change is BUSY while others
                     have the file open with HDF5, and they cannot open it while it is changed */
} nsh_file_options;

#define NSH_FILE_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(nsh_file_options), 0, 0                                                             \
    }

/* ---- open, commit, close ---- */

/* [collective] Open or begin a file.
 *
 * path     equal on all ranks, at most 3968 bytes when it is absolute; its last name is about 80
 *          bytes shorter than the file system allows, unless the file is only read. What counts is
 *          what rank 0 finds there now: symbolic links are followed, also those whose target does
 *          not exist yet (but NSH_FILE_EXCL follows none), and later changes of the working
 *          directory or of links do not matter
 * options  NULL for defaults
 * out      close it with nsh_file_close; its communicator cannot be freed before
 *
 * A file that exists must be one that this user may write to, unless it is opened for reading; and,
 * without in_place, one that this user may replace (in a sticky directory another user's file is
 * not).
 * Errors: ARG, NOT_FOUND (NSH_FILE_READ), EXISTS (NSH_FILE_EXCL), BUSY (NSH_FILE_APPEND: another
 * handle changes it; or another process has it open with HDF5 for writing), STATE (ranks do not see
 * the same file, or it is replaced again and again, or this program has it open with HDF5 itself),
 * IO, FORMAT. */
NSH_API int nsh_file_open(nsh_comm *comm, const char *path, nsh_file_mode mode,
                          const nsh_file_options *options, nsh_file **out);

/* [collective] Put the changes on disk and the new file at the path. The file stays open; its next
 * change begins another working copy. The call does nothing if nothing has changed: a change of an
 * existing file that was refused, with STATE for example, is not reported a second time. When all
 * ranks have returned, none has the old file open any more, so its space is free. Errors: EXISTS
 * (NSH_FILE_EXCL, and another program has made the file meanwhile), STATE (also: the file that this
 * one continues has been replaced or written to by others), IO. */
NSH_API int nsh_file_commit(nsh_file *file);

/* [collective] Commit, close and set *file to NULL, whatever the outcome; *file may be NULL
 * already. Errors: as nsh_file_commit; then the old file is still there, or after IO perhaps the
 * whole new one.
 */
NSH_API int nsh_file_close(nsh_file **file);

/* [collective] Close without a commit, and set *file to NULL: changes since the last one are
 * discarded. (With option in_place they are in the file already.) Errors: ARG. */
NSH_API int nsh_file_abandon(nsh_file **file);

/* ---- whole arrays ---- */

/* [collective] Write array as dataset name, which must not be in the file yet.
 * The array may be freed afterwards. Errors: ARG, EXISTS (name, or a group in it, is something
 * else already), TYPE (a derived type of more than 128 parts), IO. */
NSH_API int nsh_file_write(nsh_file *file, const char *name, const nsh_array *array);

/* [collective] Read dataset name into an array of its type and extent.
 * Errors: NOT_FOUND, TYPE (another type of element), ARG (another extent), IO, FORMAT. */
NSH_API int nsh_file_read(nsh_file *file, const char *name, nsh_array *into);

/* [collective] Create an array without a name on the file's communicator with the type and extent
 * of dataset name, and read it. Structs become derived MPI types (which need MPI), numbers of
 * foreign byte order native ones. Errors: NOT_FOUND, TYPE (elements of no fixed size), NOMEM, IO,
 * FORMAT (also: an extent above INT64_MAX). */
NSH_API int nsh_file_load(nsh_file *file, const char *name, nsh_array **out);

/* [collective] Write a file of these n arrays under their names. Each array has a name, and all are
 * on one communicator; n > 0. It replaces the file at path only when it is whole and on disk.
 * Errors: ARG, EXISTS (two of one name), TYPE, IO. */
NSH_API int nsh_snapshot_save(const char *path, int n, nsh_array *const arrays[]);

/* [collective] Read these n arrays by their names. Types and extents of all are compared before any
 * is read. Errors: as nsh_file_open and nsh_file_read. */
NSH_API int nsh_snapshot_restore(const char *path, int n, nsh_array *const arrays[]);

/* ---- hyperslabs ---- */

/* [collective] Read the hyperslab (offset, count) of dataset name into the array, from its element
 * into_offset on. offset NULL: all zeros; count NULL: all of the dataset; into_offset NULL: all
 * zeros. The three are equal on all ranks and have one number for each dimension of the dataset or
 * the array; an array of one dimension less takes hyperslabs with count[0] = 1: a frame of a
 * series.
 * Errors: NOT_FOUND, TYPE, ARG (outside the dataset or the array), IO, FORMAT. */
NSH_API int nsh_file_read_hyperslab(nsh_file *file, const char *name, const int64_t offset[],
                                    const int64_t count[], nsh_array *into,
                                    const int64_t into_offset[]);

/* [collective] Every rank writes its own hyperslab of a dataset, or none (a zero count).
 *
 * type, ndim, extent  of the whole dataset, equal on all ranks. The first call creates the dataset,
 *                     zero where no rank has written; later calls pass the same values
 * data, offset, count this rank's, packed in C order; offset NULL: all zeros, count NULL: the whole
 *
 * Where hyperslabs of ranks overlap the outcome is undefined. Each rank writes its bytes itself. If
 * the bytes of a rank lie in the file in several runs shorter than 8 KiB (columns), the bytes of
 * all ranks are first merged in shared memory, and then up to 16 nodes write long runs; this takes
 * 1 MiB per node for each node that writes, and a gap shorter than 4 KiB is read and written back.
 * Where not all nodes write (option writers, network file systems) or the dataset does not lie in
 * one piece, rank 0 receives and writes them. Errors: ARG, TYPE, IO. */
NSH_API int nsh_file_write_hyperslab(nsh_file *file, const char *name, MPI_Datatype type, int ndim,
                                     const int64_t extent[], const void *data,
                                     const int64_t offset[], const int64_t count[]);

/* [local] Read a hyperslab of a dataset into this rank's own memory; through a handle of its own,
 * so that each rank reads at any time and any hyperslab. It reads what was last committed.
 *
 * offset, count  of the dataset, one number for each dimension; NULL: all zeros; the whole dataset
 * type           of the elements in out. It must be the dataset's, as in nsh_file_read: byte order
 *                is converted, nothing else
 * out            gets the elements packed, in C order; may be NULL if there are no elements
 * out_bytes      size of out; bytes beyond those of the hyperslab keep their values
 *
 * A program that resumes from a file compares its extents (nsh_file_info) with its own before.
 * Errors: STATE (nothing has been committed; the file was opened with in_place), NOT_FOUND, TYPE
 * (another type of element), ARG (outside the dataset; out_bytes is less than the hyperslab has:
 * the detail has both numbers), IO, FORMAT. */
NSH_API int nsh_file_get(nsh_file *file, const char *name, const int64_t offset[],
                         const int64_t count[], MPI_Datatype type, void *out, int64_t out_bytes);

/* ---- series: frames along an unlimited leading dimension ---- */

/* [collective] Append the array as the next frame of dataset name. The first call creates the
 * dataset with one dimension more, in chunks of up to 256 KiB that divide a frame evenly (at its
 * end at most 6 % of the space is lost). A frame without dimensions is one number of a series of
 * numbers. Errors: ARG (frames of another extent; not a series), TYPE, IO. */
NSH_API int nsh_file_append(nsh_file *file, const char *name, const nsh_array *frame);

/* [collective] The same, but every rank has its own hyperslab of the frame, or none; arguments as
 * in nsh_file_write_hyperslab, extent that of a frame. ndim 0, extent, offset and count NULL: the
 * frame is one number, that of rank 0, as the time of a step. */
NSH_API int nsh_file_append_hyperslab(nsh_file *file, const char *name, MPI_Datatype type, int ndim,
                                      const int64_t extent[], const void *data,
                                      const int64_t offset[], const int64_t count[]);

/* ---- attributes and dimensions ---- */

/* [collective] Give dataset or group name, or the file (name NULL), an attribute; it replaces one
 * of the same name. It is stored as the type that is given: "_FillValue" wants that of the dataset.
 * values: n >= 1 numbers of at most 32 KiB, equal on all ranks. For NSH_ATTR_TEXT: n bytes, 1 GiB
 * at most; n = -1 means up to the terminating NUL. NULs at the end of text are not kept. Text of
 * more than 60,000 bytes, in which there can be no NUL, is stored as a string of variable length.
 * (h5py reads shorter text as bytes: use .decode().)
 * Errors: ARG, NOT_FOUND, IO. */
NSH_API int nsh_file_set_attr(nsh_file *file, const char *name, const char *attr,
                              nsh_attr_type type, int64_t n, const void *values);

/* [collective] Get its values, converted, in new memory that the caller frees: free(*values). As
 * NSH_ATTR_TEXT every attribute of numbers or text can be read; the NUL is not counted in n.
 * Errors: ARG, NOT_FOUND, TYPE (text as numbers; a number that the integer type cannot hold, as 2.5
 * or 2^40 as NSH_ATTR_INT32), FORMAT. A number becomes the nearest NSH_ATTR_DOUBLE or
 * NSH_ATTR_FLOAT, which may be infinite. */
NSH_API int nsh_file_get_attr(nsh_file *file, const char *name, const char *attr,
                              nsh_attr_type type, int64_t *n, void **values);

/* [collective] Label a dimension of dataset name and give it coordinates: an HDF5 dimension scale,
 * a dataset called label beside it, as netCDF, xarray and MATLAB understand it. A second call
 * replaces what the first one has set.
 *
 * label   equal on all ranks, like unit; at most 255 bytes, no slash. Datasets of one group share a
 *         dimension of one label: its coordinates, and its length unless it grows
 * unit    attribute "units"; NULL: none
 * points  as many as the dimension is long, read on rank 0. NULL: an existing dataset of one
 *         dimension with the name label, numbers of any type, becomes the coordinates; without such
 *         a dataset the dimension has only a length, until doubles are appended to label, or
 *         written to it with nsh_file_write_hyperslab
 *
 * Coordinates of a growing dimension: label it once, without points, after the first frame, and
 * append a number to dataset label with each frame, the first too:
 *     nsh_file_append_hyperslab(file, "u", MPI_DOUBLE, 2, extent, rows, offset, count);
 *     nsh_file_append_hyperslab(file, "time", MPI_DOUBLE, 0, NULL, &time, NULL, NULL);
 *     if (frame == 0)
 *         nsh_file_set_dim(file, "u", 0, "time", "s", NULL);
 * points has a number for each frame that exists; longer series of the same label keep theirs.
 * netCDF fills shorter series up to the longest.
 *
 * Because netCDF wants labels on all dimensions or on none, the other dimensions of the dataset are
 * labelled NAME_dim0, NAME_dim1, ... until they get a label of their own. A dataset itself becomes
 * coordinates with its own name as label.
 * Errors: ARG (also: the dataset is itself the coordinates of another dimension), NOT_FOUND, EXISTS
 * (label is no dataset of one dimension, of another length, grows when the dimension does not or
 * the reverse, or has data that points would replace), TYPE (points for coordinates that are no
 * floating point numbers), IO. */
NSH_API int nsh_file_set_dim(nsh_file *file, const char *name, int dim, const char *label,
                             const char *unit, const double points[]);

/* ---- look ---- */

/* What nsh_file_info tells of a dataset. */
typedef struct nsh_dataset_info {
    size_t size;                  /* set by NSH_DATASET_INFO_INIT */
    int ndim;                     /* the number of dimensions */
    int growing;                  /* 1: the leading dimension is unlimited */
    int attributes;               /* how many */
    int64_t extent[NSH_MAX_NDIM]; /* the shape, in elements */
    int64_t chunk[NSH_MAX_NDIM];  /* all 0: it is not chunked */
    int64_t elements;             /* how many */
    int64_t itemsize;             /* bytes of one in memory */
    int64_t stored;               /* bytes in the file */
    char type[256];               /* e.g. "float64", "{float64[3], int32}" */
    char filters[64];             /* e.g. "shuffle,deflate"; "": none */
} nsh_dataset_info;

#define NSH_DATASET_INFO_INIT                                                                      \
    {                                                                                              \
        sizeof(nsh_dataset_info), 0, 0, 0, {0}, {0}, 0, 0, 0, "", ""                               \
    }

/* [collective] Describe dataset name in *out, which NSH_DATASET_INFO_INIT has initialised.
 * Errors: ARG (out->size), NOT_FOUND, TYPE, FORMAT, UNSUPPORTED (out->size). */
NSH_API int nsh_file_info(nsh_file *file, const char *name, nsh_dataset_info *out);

/* [collective] The full names of all n datasets, in alphabetical order of each group. A dataset
 * with several names (hard links) is listed once, under one of them; soft and external links are
 * not listed. *names is one block of memory that the caller frees: free(*names). Errors: FORMAT,
 * NOMEM. */
NSH_API int nsh_file_list(nsh_file *file, int64_t *n, char ***names);

/* [collective] The same of the attributes of dataset or group name, or of the file (name NULL).
 * Errors: NOT_FOUND, FORMAT, NOMEM. */
NSH_API int nsh_file_list_attrs(nsh_file *file, const char *name, int64_t *n, char ***names);

#ifdef __cplusplus
}
#endif

#endif
