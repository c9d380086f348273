/* SPDX-License-Identifier: BSD-3-Clause */
/* element.h -- the form of an array's elements, between MPI datatypes and those of files.
 *
 * A form is a tree, flat and in preorder, that travels between ranks as bytes: each node says what
 * it is, how large one of it is, how many of it there are in a row, and where they are in the
 * struct around it. Node 0 is the element. Neither MPI nor HDF5 is asked about the other's types:
 * each translates from and to this one. */
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
    NSH__ELEMENT_BYTES,   /* as many bytes as its size, of unknown meaning */
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

/* Append a node; false when there is no room. */
bool nsh__element_add(nsh__element *element, nsh__element_class class_, int64_t size, int64_t count,
                      int64_t offset);

/* The node added as number `first` and all after it are its subtree. */
void nsh__element_close(nsh__element *element, int first);

/* What a described type's elements are. Types that are neither structs nor rows of one kind are
 * bytes of unknown meaning. NSH_ERR_TYPE: deeper or wider than a form can be. */
int nsh__element_of_type(const nsh__type *type, nsh__element *out);

/* A new MPI type of that form; *derived: to be freed by the caller. NSH_ERR_TYPE: nothing of that
 * size exists here, or MPI, which derived types need, is not alive. */
int nsh__element_to_mpi(const nsh__element *element, MPI_Datatype *out, bool *derived);

/* The same bytes mean the same in both? Text, signed and unsigned bytes are alike. */
bool nsh__element_equal(const nsh__element *a, const nsh__element *b);

/* Is a form that came from elsewhere in order: a tree, sizes positive, members within structs? */
bool nsh__element_valid(const nsh__element *element);

/* Words: "int32", "float64[3]", "{float64[3] at 0, int32 at 24} 32 bytes". */
void nsh__element_print(const nsh__element *element, char *out, int bytes);

#endif
