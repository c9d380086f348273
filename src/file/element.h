/* SPDX-License-Identifier: BSD-3-Clause */
/* element.h -- the type of an array's elements, as neither MPI nor HDF5 has it.
 *
 * An element type is a tree, stored flat and in preorder, that is sent between ranks as bytes. Each
 * node has a class, the size of one item, the number of items in a row, and their offset in the
 * struct around it. Node 0 is the element. MPI datatypes and HDF5's types are each translated to
 * and from it. All functions are [local] and may be called by any rank at any time; only
 * nsh__element_of_type and nsh__element_to_mpi call MPI. */
#ifndef NSH_FILE_ELEMENT_H
#define NSH_FILE_ELEMENT_H

#include <stdbool.h>
#include <stdint.h>

#include <mpi.h>

#include "base/type.h"

typedef enum nsh__element_class {
    NSH__ELEMENT_INT = 1, /* two's complement, native byte order */
    NSH__ELEMENT_UINT,
    NSH__ELEMENT_FLOAT,   /* float, double, long double */
    NSH__ELEMENT_BOOL,    /* 0 or 1 in one byte */
    NSH__ELEMENT_TEXT,    /* one byte of a text of fixed length */
    NSH__ELEMENT_COMPLEX, /* two floats: r, i */
    NSH__ELEMENT_BYTES,   /* bytes of unknown meaning, as many as its size */
    NSH__ELEMENT_STRUCT
} nsh__element_class;

typedef struct nsh__element_node {
    int32_t class_; /* nsh__element_class */
    int32_t nodes;  /* of this subtree, itself included */
    int64_t size;   /* bytes of one */
    int64_t count;  /* how many in a row; 1 but for arrays within an element */
    int64_t offset; /* in the struct around it */
} nsh__element_node;

enum { NSH__ELEMENT_NODES = 128, NSH__ELEMENT_DEPTH = 16 };

typedef struct nsh__element {
    int32_t n, unused;
    nsh__element_node node[NSH__ELEMENT_NODES];
} nsh__element;

/* Append a node; false when all nodes are in use. */
bool nsh__element_add(nsh__element *element, nsh__element_class class_, int64_t size, int64_t count,
                      int64_t offset);

/* End the subtree of node `first`: all nodes added after it belong to it. */
void nsh__element_close(nsh__element *element, int first);

/* Translate an MPI datatype. Types that are neither structs nor rows of one kind become bytes of
 * unknown meaning. NSH_ERR_TYPE: the datatype is deeper or has more parts than an element type can
 * have. */
int nsh__element_of_type(const nsh__type *type, nsh__element *out);

/* Make an MPI datatype of this element type; *derived: the caller frees it. NSH_ERR_TYPE: MPI has
 * no type of that size here, or MPI, which derived types need, is not initialised. */
int nsh__element_to_mpi(const nsh__element *element, MPI_Datatype *out, bool *derived);

/* Do the same bytes mean the same in both? Text, signed and unsigned bytes count as the same. */
bool nsh__element_equal(const nsh__element *a, const nsh__element *b);

/* Is an element type from a file valid: a tree, with positive sizes and members within structs? */
bool nsh__element_valid(const nsh__element *element);

/* Print the type: "int32", "float64[3]", "{float64[3] at 0, int32 at 24} 32 bytes". */
void nsh__element_print(const nsh__element *element, char *out, int bytes);

#endif
