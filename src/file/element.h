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

typedef enum nsh__form_class {
    NSH__FORM_INT = 1, /* two's complement, native byte order */
    NSH__FORM_UINT,
    NSH__FORM_FLOAT,   /* float, double, long double */
    NSH__FORM_BOOL,    /* 0 or 1 in one byte */
    NSH__FORM_TEXT,    /* one byte of a text of fixed length */
    NSH__FORM_COMPLEX, /* two floats: r, i */
    NSH__FORM_BYTES,   /* as many bytes as its size, of unknown meaning */
    NSH__FORM_STRUCT
} nsh__form_class;

typedef struct nsh__form_node {
    int32_t class_; /* nsh__form_class */
    int32_t nodes;  /* of this subtree, itself included */
    int64_t size;   /* bytes of one */
    int64_t count;  /* how many in a row; 1 but for arrays within an element */
    int64_t offset; /* in the struct around it */
} nsh__form_node;

enum { NSH__FORM_NODES = 128, NSH__FORM_DEPTH = 16 };

typedef struct nsh__form {
    int32_t n, unused;
    nsh__form_node node[NSH__FORM_NODES];
} nsh__form;

/* Append a node; false when there is no room. */
bool nsh__form_add(nsh__form *form, nsh__form_class class_, int64_t size, int64_t count,
                   int64_t offset);

/* The node added as number `first` and all after it are its subtree. */
void nsh__form_close(nsh__form *form, int first);

/* What a described type's elements are. Types that are neither structs nor rows of one kind are
 * bytes of unknown meaning. NSH_ERR_TYPE: deeper or wider than a form can be. */
int nsh__form_of_type(const nsh__type *type, nsh__form *out);

/* A new MPI type of that form; *derived: to be freed by the caller. NSH_ERR_TYPE: nothing of that
 * size exists here, or MPI, which derived types need, is not alive. */
int nsh__form_to_mpi(const nsh__form *form, MPI_Datatype *out, bool *derived);

/* The same bytes mean the same in both? Text, signed and unsigned bytes are alike. */
bool nsh__form_equal(const nsh__form *a, const nsh__form *b);

/* Is a form that came from elsewhere in order: a tree, sizes positive, members within structs? */
bool nsh__form_valid(const nsh__form *form);

/* Words: "int32", "float64[3]", "{float64[3] at 0, int32 at 24} 32 bytes". */
void nsh__form_print(const nsh__form *form, char *out, int bytes);

#endif
