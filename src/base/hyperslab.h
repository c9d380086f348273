/* SPDX-License-Identifier: BSD-3-Clause */
/* hyperslab.h -- N-d offset/count arithmetic and copies; does not use MPI.
 *
 * Invariant: a slab describes one fixed sequence of bytes, its stream. Whatever the form of two
 * slabs, a copy moves byte i of one stream to byte i of the other.
 *
 * Everything here is [local, any thread], allocates nothing and cannot fail after its arguments
 * were checked. All sizes, offsets and strides are int64; base addresses are char addresses, and
 * the functions add the slab's start. Source and destination memory of a copy must not overlap. */
#ifndef NSH_BASE_HYPERSLAB_H
#define NSH_BASE_HYPERSLAB_H

#include <stdbool.h>
#include <stdint.h>

enum { NSH__MAX_NDIM = 32 };

/* A set of bytes in memory as nested loops over equal contiguous runs, in C order; its bytes in
 * that order are its stream (the packed form). Dimensions that are contiguous with each other are
 * merged: ndim == 0 means one run. */
typedef struct nsh__slab {
    int64_t nbytes;                /* length of the stream; 0: empty */
    int64_t start;                 /* byte offset of the first element from the base address */
    int64_t run;                   /* bytes of one contiguous run */
    int ndim;                      /* loops around the runs */
    int64_t count[NSH__MAX_NDIM];  /* iterations, outermost first; each at least 2 */
    int64_t stride[NSH__MAX_NDIM]; /* bytes from one to the next; may be negative or zero */
} nsh__slab;

/* Elements and bytes of a shape; false when an extent is negative or a product exceeds INT64_MAX. A
 * zero extent makes the size 0 whatever the others are. Outputs are written on success only. */
bool nsh__shape_size(int ndim, const int64_t extent[], int64_t itemsize, int64_t *size,
                     int64_t *nbytes);

/* Returns -1 if (offset, count) lies within extent; otherwise the first dimension where it does not
 * (negative, beyond, or offset + count overflowing). offset NULL: zeros; count NULL: the whole
 * extent. An empty hyperslab must lie within extent too. */
int nsh__hyperslab_outside(int ndim, const int64_t extent[], const int64_t offset[],
                           const int64_t count[]);

/* Do the two have an element in common? An empty one has none. No argument may be NULL unless ndim
 * is 0. */
bool nsh__hyperslabs_overlap(int ndim, const int64_t a_offset[], const int64_t a_count[],
                             const int64_t b_offset[], const int64_t b_count[]);

/* Describe a hyperslab of a C-order array; the arguments are already checked, NULL as in
 * nsh__hyperslab_outside. */
void nsh__slab_of(nsh__slab *slab, int ndim, const int64_t extent[], const int64_t offset[],
                  const int64_t count[], int64_t itemsize);

/* Describe data of shape count with strides in elements (NULL: packed); its first element is at the
 * base address. False if byte offsets or the length of the stream overflow int64 or a count is
 * negative: the slab is then empty. Strides of dimensions with one element do not matter. */
bool nsh__slab_strided(nsh__slab *slab, int ndim, const int64_t count[], const int64_t stride[],
                       int64_t itemsize);

/* Describe a packed stream of nbytes. */
void nsh__slab_packed(nsh__slab *slab, int64_t nbytes);

/* The lowest byte offset that the slab touches, and the highest plus 1 (both 0 if it is empty). */
void nsh__slab_bounds(const nsh__slab *slab, int64_t *low, int64_t *high);

/* Byte offset, from the base address, of the i-th run in stream order; and of stream byte pos. */
int64_t nsh__slab_run_at(const nsh__slab *slab, int64_t i);
int64_t nsh__slab_at(const nsh__slab *slab, int64_t pos);

/* How many bytes of the stream lie before byte offset `at`. Only for hyperslabs of C-order arrays,
 * whose runs lie in memory in the order of the stream. */
int64_t nsh__slab_before(const nsh__slab *slab, int64_t at);

/* Copy bytes [from, from + n) of the stream out of / into memory; out and in point to byte from. */
void nsh__slab_pack(void *out, const void *base, const nsh__slab *slab, int64_t from, int64_t n);
void nsh__slab_unpack(void *base, const nsh__slab *slab, int64_t from, int64_t n, const void *in);

/* Copy bytes [from, from + n) of the stream from src's memory to dst's, in stream order; both have
 * the same nbytes but may differ in runs. */
void nsh__slab_copy(void *dst_base, const nsh__slab *dst, const void *src_base,
                    const nsh__slab *src, int64_t from, int64_t n);

#endif
