/* SPDX-License-Identifier: BSD-3-Clause */
/* file.h -- arrays to and from HDF5 files: snapshots, hyperslabs, series.
 *
 * What is written is plain HDF5 that h5dump, h5py, Julia and MATLAB read; what others have written
 * is read, if its elements have a fixed size. Names with slashes ("run/step7/t") are groups; no
 * part of a name is ".".
 *
 * A changed file is a working copy beside its path ("path.tmp-HOST-PID-N.nsh") until
 * nsh_file_commit or nsh_file_close has put it on disk and renamed it: whoever opens path sees the
 * old file or the new one, whole, whatever is killed when. A working copy that a killed job has
 * left is removed when the same path is next opened for a change and its lock shows that nobody
 * uses it. It is its maker's: what another program does to its bytes is committed with them.
 *
 * How: rank 0 alone calls HDF5. The bytes of datasets that lie in one piece in the file go around
 * it: one rank of each node writes or reads its part, and on several nodes what was read is
 * exchanged, so that each byte crosses the disk once. Other layouts (chunks, filters, foreign byte
 * orders) go through rank 0 in segments of at most 64 MiB, or one chunk.
 *
 * Types: predefined MPI types become HDF5's native ones, MPI_C_BOOL the enum FALSE, TRUE that h5py
 * uses, complex the compound (r, i), derived structs compounds with members f0, f1, ..., several in
 * a row arrays; other derived types are opaque. What is no number gets a name in the file's root
 * (_bool, _complex128, _struct_...), as netCDF needs it.
 *
 * Errors of every function, beside those it names: UNSUPPORTED (built without HDF5, as nsh topo
 * says, or the process has another HDF5 than the library was built with),
 * ARG (NULL), STATE (communicator is broken; the file is open for reading only, or a change of it
 * has failed), MISMATCH, NOMEM, IO (the system's reason or HDF5's is in the detail), FORMAT (the
 * file is not HDF5, damaged or truncated), MPI.
 *
 * Caveats
 *   - After a change has failed (IO) the file cannot be committed any more: nsh_file_close says so
 *     (STATE), throws the working copy away, and the old file stays.
 *   - After any change of a new file has failed, whatever the reason (a name that exists, an
 *     invalid argument), it would not be whole: its commit says so (STATE), and what is at the path
 *     stays. New is a file of NSH_FILE_CREATE or _EXCL, or of NSH_FILE_APPEND where there is none,
 *     until its first commit.
 *   - When reading fails half way (IO, FORMAT), the hyperslab that was to be read is indeterminate.
 *   - A change of a file that exists (NSH_FILE_APPEND, or any change after a commit) first copies
 *     it: commit as often as you would take a checkpoint, not after every frame. File systems that
 *     share blocks between copies (XFS, btrfs) do so. Option in_place does without.
 *   - Elements of a dataset that no rank has written are zero.
 *   - A write of HDF5 that fails (a full disk, a quota, RLIMIT_FSIZE) is reported as IO by the call
 *     in which it happens, at the latest by nsh_file_commit or nsh_file_close; HDF5 may keep what
 *     it has to write until then.
 *   - A program may also use HDF5 itself. While it has a file open with HDF5 for writing, opening
 *     that file here is STATE; while it has it open for reading, only changing it in place is.
 *     Where files are locked as HDF5 does it, a file that another process has open so is BUSY; the
 *     environment variable HDF5_USE_FILE_LOCKING=FALSE turns that off, as for HDF5. The file is
 *     always reached with HDF5's native connector, whatever HDF5_VOL_CONNECTOR and HDF5_DRIVER say.
 *     But where one of them names something that HDF5 (1.12 and later) does not find, HDF5 itself
 *     cannot begin: it prints why, and every call here is UNSUPPORTED.
 *   - All nodes must see the file under the same path.
 *   - HDF5 before 1.14 is not hardened against hostile files: a file that was damaged on purpose
 *     may make libhdf5 crash.
 *   - A handle goes on with the file that it opened or last committed, also when another program
 *     has put another file at the path meanwhile. One rank of each node keeps it open from
 *     nsh_file_open on. A rank that comes later and finds another file there reads nothing of that:
 *     the call says STATE, "replaced". Ranks of one host compare device and inode number; between
 *     hosts inode number, size, time of the last change and the first bytes are compared.
 *   - One handle at a time changes a file that exists: it holds a lock (an open file description
 *     lock) on the file from nsh_file_open (NSH_FILE_APPEND) or its first commit until it is
 *     closed, and nsh_file_open for NSH_FILE_APPEND says BUSY meanwhile. Readers, and
 *     NSH_FILE_CREATE, which replaces what is there, do not ask for the lock.
 *   - A commit never replaces a file that another program has written to, or put there, since this
 *     handle opened or last committed it, as far as can be seen just before: it says STATE, and
 *     that file stays. (NSH_FILE_CREATE
 *     replaces whatever is there at its first commit.) A change of owner, mode or links is none.
 *     Where the file has been removed meanwhile the commit makes it again.
 *   - On network file systems (all but ext4, XFS, btrfs, ZFS, tmpfs and their like) the file is not
 *     locked, because there a lock may shut out those who read with HDF5: two handles can change it
 *     at the same time, and the later commit says STATE. NSH_LOG=1 says where that is so. There,
 *     and where there are no locks at all, a working copy that a job on another host has left is
 *     not removed either: remove it yourself when that job is gone.
 *   - A file that replaces another takes over its owner, group, permissions, access control lists
 *     and users' extended attributes, as far as the system lets this user set them; a group that
 *     cannot be set leaves the new group what everybody may do. Other names of the old file (hard
 *     links) keep the old file. NSH_LOG=1 names what was not kept. Option in_place keeps it all.
 *   - netCDF knows neither long double, at which its tools crash, nor elements that are arrays,
 *     which it leaves out: keep such datasets in files of their own. It shows bool as the integers
 *     of an enum, complex and structs as compounds, opaque elements as such. In files of other
 *     programs that do not track the order of creation it finds these types only for datasets whose
 *     names sort behind those of the types.
 *   - On NFS, SMB, 9p, FUSE and every file system that is not known to show all hosts one state at
 *     once (known are the local ones, Lustre, GPFS, GFS2, OCFS2, Ceph; NSH_LOG=1 names
 *     the type of any other), the node of rank 0 alone writes and, until the commit, reads. There a
 *     program on another host sees what was committed when it opens the file after nsh_file_commit
 *     or nsh_file_close has returned (close-to-open); one that has the file open goes on with the
 *     old one, or, with in_place, may see old and new bytes mixed. A host that keeps names for a
 *     while (NFS: option acdirmax, a minute) may for so long still open the old file. With option
 *     writers above 1 commit there before you read what other nodes have written.
 *   - Nodes that write one array divide it at multiples of 1 MiB of the file, so that no two of
 *     them write to one page. Hyperslabs are divided as the ranks have them.
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

/* What becomes of a file that exists, or does not. */
typedef enum nsh_file_mode {
    NSH_FILE_CREATE = 0, /* a new file, which replaces the old one when it is committed */
    NSH_FILE_EXCL,       /* a new file; NSH_ERR_EXISTS if there is one, now or at the commit */
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
                     disk or any other failed change may then leave a damaged file; commit puts on
                     disk what there is. HDF5's own lock is taken: a change is BUSY while others
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
 *          what rank 0 finds there now: symbolic links are followed, also those that lead to
 *          nothing yet (but NSH_FILE_EXCL follows none), and later changes of the working directory
 *          or of links do not matter
 * options  NULL for defaults
 * out      close it with nsh_file_close; its communicator cannot be freed before
 *
 * A file that exists must be one that this user may write to, unless it is opened for reading; and
 * one that this user may replace (in a sticky directory another user's file is not), but with
 * in_place.
 * Errors: ARG, NOT_FOUND (NSH_FILE_READ), EXISTS (NSH_FILE_EXCL), BUSY (NSH_FILE_APPEND: another
 * handle changes it; or another process has it open with HDF5 for writing), STATE (ranks do not see
 * the same file, or it is replaced all the time, or this program has it open with HDF5 itself), IO,
 * FORMAT. */
NSH_API int nsh_file_open(nsh_comm *comm, const char *path, nsh_file_mode mode,
                          const nsh_file_options *options, nsh_file **out);

/* [collective] Put what was changed on disk and under the file's path. The file stays open; its
 * next change begins another working copy. Nothing to do if nothing has changed. When all ranks
 * have returned, none of them has the old file open any more, so its space is free. Errors: EXISTS
 * (NSH_FILE_EXCL and somebody made one meanwhile), STATE (also: the file that this one continues
 * has been replaced or written to by others), IO. */
NSH_API int nsh_file_commit(nsh_file *file);

/* [collective] Commit, close and set *file to NULL, whatever the outcome; *file may be NULL
 * already. Errors: as nsh_file_commit; then nothing has been replaced, or in doubt (IO) by the
 * whole new file.
 */
NSH_API int nsh_file_close(nsh_file **file);

/* [collective] Close without a commit, and set *file to NULL: what was changed since the last one
 * is thrown away. (With option in_place it is in the file already.) Errors: ARG. */
NSH_API int nsh_file_abandon(nsh_file **file);

/* ---- whole arrays ---- */

/* [collective] Write array as dataset name, which must not be in the file yet.
 * The array may be freed afterwards. Errors: ARG, EXISTS, TYPE (a derived type of more than 128
 * parts), IO. */
NSH_API int nsh_file_write(nsh_file *file, const char *name, const nsh_array *array);

/* [collective] Read dataset name into an array of its type and extent.
 * Errors: NOT_FOUND, TYPE (another type of element), ARG (another extent), IO, FORMAT. */
NSH_API int nsh_file_read(nsh_file *file, const char *name, nsh_array *into);

/* [collective] Create an array without a name on the file's communicator with the type and extent
 * of dataset name, and read it. Structs become derived MPI types (which need MPI), numbers of
 * foreign byte order native ones. Errors: NOT_FOUND, TYPE (elements of no fixed size), NOMEM, IO,
 * FORMAT (also: an extent above INT64_MAX). */
NSH_API int nsh_file_load(nsh_file *file, const char *name, nsh_array **out);

/* [collective] A file of these n arrays under their names, which they must have, all on one
 * communicator; n > 0. It replaces the file at path only when it is whole and on disk.
 * Errors: ARG, EXISTS (two of one name), TYPE, IO. */
NSH_API int nsh_snapshot_save(const char *path, int n, nsh_array *const arrays[]);

/* [collective] Read these n arrays by their names. Types and extents of all are compared before any
 * is read. Errors: as nsh_file_open and nsh_file_read. */
NSH_API int nsh_snapshot_restore(const char *path, int n, nsh_array *const arrays[]);

/* ---- hyperslabs ---- */

/* [collective] Read the hyperslab (offset, count) of dataset name into the array, from its element
 * into_offset on. offset NULL: all zeros; count NULL: all of the dataset; into_offset NULL: all
 * zeros. The three are equal on all ranks and as long as the dataset and the array have dimensions;
 * an array of one dimension less takes hyperslabs with count[0] = 1: a frame of a series.
 * Errors: NOT_FOUND, TYPE, ARG (outside the dataset or the array), IO, FORMAT. */
NSH_API int nsh_file_read_hyperslab(nsh_file *file, const char *name, const int64_t offset[],
                                    const int64_t count[], nsh_array *into,
                                    const int64_t into_offset[]);

/* [collective] Every rank writes its own hyperslab of a dataset, or none (a zero count).
 *
 * type, ndim, extent  of the whole dataset, equal on all ranks. It is made by the first call, with
 *                     zeroes where nobody has written; later ones must say the same
 * data, offset, count this rank's, packed in C order; offset NULL: all zeros, count NULL: the whole
 *
 * Where hyperslabs of ranks overlap the outcome is undefined. Each rank writes its bytes itself. If
 * some rank's lie in the file in several runs shorter than 8 KiB (columns), the bytes of all ranks
 * are first merged in shared memory, and then up to 16 nodes write long runs; this takes 1 MiB per
 * node for each node that writes, and a gap shorter than 4 KiB is read and written back. Where not
 * all nodes write (option writers, network file systems) or the dataset does not lie in one piece,
 * rank 0 gets and writes them. Errors: ARG, TYPE, IO. */
NSH_API int nsh_file_write_hyperslab(nsh_file *file, const char *name, MPI_Datatype type, int ndim,
                                     const int64_t extent[], const void *data,
                                     const int64_t offset[], const int64_t count[]);

/* [local] Read a hyperslab of a dataset into this rank's own memory; through a handle of its own,
 * so that ranks read when and what they like. It sees what was last committed.
 *
 * offset, count  of the dataset, as long as it has dimensions; NULL: all zeros; the whole dataset
 * type           of the elements in out. It must be the dataset's, as in nsh_file_read: byte order
 *                is converted, nothing else
 * out            gets the elements packed, in C order; may be NULL where there are none
 * out_bytes      size of out; more than the hyperslab has is left as it is
 *
 * A program that resumes from a file compares its extents (nsh_file_info) with its own before.
 * Errors: STATE (nothing has been committed; the file was opened with in_place), NOT_FOUND, TYPE
 * (another type of element), ARG (outside the dataset; out_bytes is less than the hyperslab has:
 * the detail has both numbers), IO, FORMAT. */
NSH_API int nsh_file_get(nsh_file *file, const char *name, const int64_t offset[],
                         const int64_t count[], MPI_Datatype type, void *out, int64_t out_bytes);

/* ---- series: frames along an unlimited leading dimension ---- */

/* [collective] Append the array as the next frame of dataset name, which is made by the first call:
 * of one dimension more, in chunks of up to 256 KiB that divide a frame evenly (at most 6 % are
 * lost at its end). A frame without dimensions is one number of a series of numbers. Errors: ARG
 * (frames of another extent; not a series), TYPE, IO. */
NSH_API int nsh_file_append(nsh_file *file, const char *name, const nsh_array *frame);

/* [collective] The same, but every rank has its own hyperslab of the frame, or none; arguments as
 * in nsh_file_write_hyperslab, extent that of a frame. ndim 0, extent, offset and count NULL: the
 * frame is one number, that of rank 0, as the time of a step. */
NSH_API int nsh_file_append_hyperslab(nsh_file *file, const char *name, MPI_Datatype type, int ndim,
                                      const int64_t extent[], const void *data,
                                      const int64_t offset[], const int64_t count[]);

/* ---- attributes and dimensions ---- */

/* [collective] Give dataset or group name, or the file (name NULL), an attribute, in place of one
 * of the same name. It is stored as the type that is given: "_FillValue" wants that of the dataset.
 * values: n numbers of at most 32 KiB, equal on all ranks. For NSH_ATTR_TEXT: n bytes, at most
 * 1 GiB; n = -1 means up to the terminating NUL. NULs at the end of text are not kept. Text of more
 * than 60,000 bytes, in which there can be no NUL, is stored as a string of variable length. (h5py
 * reads shorter text as bytes: use .decode().)
 * Errors: ARG, NOT_FOUND, IO. */
NSH_API int nsh_file_set_attr(nsh_file *file, const char *name, const char *attr,
                              nsh_attr_type type, int64_t n, const void *values);

/* [collective] Its values, converted, in new memory that is the caller's: free(*values). As
 * NSH_ATTR_TEXT every attribute of numbers or text can be had; the NUL is not counted in n.
 * Errors: ARG, NOT_FOUND, TYPE (text as numbers; a number that the integer type has not, as 2.5 or
 * 2^40 as NSH_ATTR_INT32), FORMAT. */
NSH_API int nsh_file_get_attr(nsh_file *file, const char *name, const char *attr,
                              nsh_attr_type type, int64_t *n, void **values);

/* [collective] Label a dimension of dataset name and give it coordinates: an HDF5 dimension scale,
 * a dataset called label beside it, as netCDF, xarray and MATLAB understand it. Done again it
 * replaces what was there.
 *
 * label   equal on all ranks, like unit; at most 255 bytes, no slash. Datasets of one group share a
 *         dimension of one label: its coordinates, and its length unless it grows
 * unit    attribute "units"; NULL: none
 * points  as many as the dimension is long, read on rank 0. NULL: a dataset of one dimension that
 *         is there under the name label, numbers of any type, becomes the coordinates; without one
 *         the dimension has just a length, until doubles are appended to label, or written to it
 *         with nsh_file_write_hyperslab
 *
 * Coordinates of a growing dimension: label it once, without points, after the first frame, and
 * append a number to dataset label with each frame, the first too:
 *     nsh_file_append_hyperslab(file, "u", MPI_DOUBLE, 2, extent, rows, offset, count);
 *     nsh_file_append_hyperslab(file, "time", MPI_DOUBLE, 0, NULL, &time, NULL, NULL);
 *     if (frame == 0)
 *         nsh_file_set_dim(file, "u", 0, "time", "s", NULL);
 * Points are those of the frames that are there; longer series of the same label keep theirs.
 * netCDF fills shorter series up to the longest.
 *
 * The other dimensions of the dataset, as netCDF wants all or none of them, are labelled NAME_dim0,
 * NAME_dim1, ... until they get a label of their own. A dataset itself becomes coordinates with its
 * own name as label.
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

/* [collective] What dataset name is, into *out, which NSH_DATASET_INFO_INIT has initialised.
 * Errors: ARG (out->size), NOT_FOUND, TYPE, FORMAT, UNSUPPORTED (out->size). */
NSH_API int nsh_file_info(nsh_file *file, const char *name, nsh_dataset_info *out);

/* [collective] The full names of all n datasets, in alphabetical order of each group. A dataset
 * with several names (hard links) comes once, under one of them; soft and external links do not
 * come. One block of memory, the caller's: free(*names). Errors: FORMAT, NOMEM. */
NSH_API int nsh_file_list(nsh_file *file, int64_t *n, char ***names);

/* [collective] The same of the attributes of dataset or group name, or of the file (name NULL).
 * Errors: NOT_FOUND, FORMAT, NOMEM. */
NSH_API int nsh_file_list_attrs(nsh_file *file, const char *name, int64_t *n, char ***names);

#ifdef __cplusplus
}
#endif

#endif
