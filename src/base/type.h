/* SPDX-License-Identifier: BSD-3-Clause */
/* type.h -- MPI datatypes as the library sees them: bytes per element, and signatures that must be
 * equal on all ranks. Predefined types come from a table of our own, because MPI_Type_size needs
 * MPI_Init. */
#ifndef NSH_BASE_TYPE_H
#define NSH_BASE_TYPE_H

#include <stdbool.h>
#include <stdint.h>

#include <mpi.h>

/* The classes of predefined types for MPI's reduction operations (MPI-3.1, section 5.9.2). The
 * numbers are part of nsh__type_file_signature: they must not change. */
typedef enum nsh__type_class {
    NSH__CLASS_NONE = 0, /* derived, or not for arithmetic */
    NSH__CLASS_INTEGER = 1,
    NSH__CLASS_FLOAT = 2,
    NSH__CLASS_LOGICAL = 4,
    NSH__CLASS_COMPLEX = 8,
    NSH__CLASS_BYTE = 16,
    NSH__CLASS_MULTI = 32,   /* MPI_AINT, MPI_COUNT, MPI_OFFSET */
    NSH__CLASS_PAIR = 64,    /* value and index, for MPI_MINLOC and MPI_MAXLOC */
    NSH__CLASS_UNKNOWN = 128 /* an extension of this MPI: only MPI knows */
} nsh__type_class;

typedef struct nsh__type {
    MPI_Datatype handle;
    bool derived;           /* handle is a duplicate of the caller's */
    bool optional;          /* this MPI may lack some or all operations on it */
    nsh__type_class class_; /* of a predefined type */
    unsigned asked, usable; /* of an optional type: operations that MPI was asked about, and has;
                               one bit for each */
    int64_t itemsize;       /* bytes from one element to the next */
    uint64_t signature;     /* equal on all ranks for equal types */
    char name[MPI_MAX_OBJECT_NAME];
} nsh__type;

/* [local] Describe a type, which may be freed afterwards. NSH_ERR_TYPE, with a detail that names
 * call and rank, if arrays of it are impossible: gaps between elements or, except in structs,
 * inside them; a lower bound other than 0; no bytes at all. */
int nsh__type_init(const char *call, int rank, MPI_Datatype handle, nsh__type *out);

/* [local] The signature of its description; 0 if it cannot be described. Does not change the last
 * failure. */
uint64_t nsh__type_signature(MPI_Datatype handle);

/* [local] A signature of the bits of its elements, to be stored in a file: the same under every
 * MPI, and for types whose elements look the same, as MPI_LONG and MPI_INT64_T. */
uint64_t nsh__type_file_signature(const nsh__type *type);

/* [local] Duplicate the type for the description; free the duplicate. Both accept every stage. */
int nsh__type_own(nsh__type *type);
void nsh__type_disown(nsh__type *type);

/* [local] Free a type that MPI_Type_get_contents has returned, unless it is predefined. */
void nsh__type_drop(MPI_Datatype handle);

/* [local] May op be used on elements of this type? For types that every MPI has the MPI standard
 * decides; for those of Fortran and C++, and for extensions, which the standard makes optional,
 * this MPI is asked. User-defined operations are always allowed. */
bool nsh__type_reducible(nsh__type *type, MPI_Op op);

/* [local] Equal on all ranks for the same predefined operation; one number for all user-defined
 * ones, whose handles may differ between processes. */
uint64_t nsh__op_signature(MPI_Op op);

/* [local] Is MPI initialised and not finalised? */
bool nsh__mpi_alive(void);

#endif
