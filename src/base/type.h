/* SPDX-License-Identifier: BSD-3-Clause */
/* type.h -- MPI datatypes as the library sees them: bytes per element, and whether ranks agree.
 * Predefined types come from a table of our own, because MPI_Type_size needs MPI_Init. */
#ifndef NSH_BASE_TYPE_H
#define NSH_BASE_TYPE_H

#include <stdbool.h>
#include <stdint.h>

#include <mpi.h>

/* What MPI's reduction operations know a predefined type as (MPI-3.1, section 5.9.2). The numbers
 * are part of nsh__type_file_signature: they stay. */
typedef enum nsh__type_class {
    NSH__CLASS_NONE = 0, /* derived, or not meant for arithmetic */
    NSH__CLASS_INTEGER = 1,
    NSH__CLASS_FLOAT = 2,
    NSH__CLASS_LOGICAL = 4,
    NSH__CLASS_COMPLEX = 8,
    NSH__CLASS_BYTE = 16,
    NSH__CLASS_MULTI = 32,   /* MPI_AINT, MPI_COUNT, MPI_OFFSET */
    NSH__CLASS_PAIR = 64,    /* value and index, for MPI_MINLOC and MPI_MAXLOC */
    NSH__CLASS_UNKNOWN = 128 /* an extension of this MPI, which alone knows */
} nsh__type_class;

typedef struct nsh__type {
    MPI_Datatype handle;
    bool derived;           /* handle is a duplicate of the caller's */
    bool optional;          /* MPI may lack some operations on it, or all */
    nsh__type_class class_; /* of a predefined type */
    unsigned asked, usable; /* optional: operations that MPI was asked about, and has; a bit each */
    int64_t itemsize;       /* bytes from one element to the next */
    uint64_t signature;     /* equal on all ranks for equal types */
    char name[MPI_MAX_OBJECT_NAME];
} nsh__type;

/* [local] Describe a type; it need not live on. NSH_ERR_TYPE, worded with call and rank, when
 * arrays of it are impossible: holes between or, outside structs, inside elements; a lower bound
 * other than 0; no bytes at all. */
int nsh__type_init(const char *call, int rank, MPI_Datatype handle, nsh__type *out);

/* [local] The signature of its description; 0 where there is none. Leaves the last failure
 * alone. */
uint64_t nsh__type_signature(MPI_Datatype handle);

/* [local] A signature of what its bits are, to be kept in a file: the same under every MPI, and for
 * types whose elements look the same, as MPI_LONG and MPI_INT64_T. */
uint64_t nsh__type_file_signature(const nsh__type *type);

/* Make the description own its type, and give that up. Tolerant of half-made ones. */
int nsh__type_own(nsh__type *type);
void nsh__type_disown(nsh__type *type);

/* [local] Free a type that MPI_Type_get_contents has given, if it is one to be freed. */
void nsh__type_drop(MPI_Datatype handle);

/* [local] May op be used on elements of this type? As MPI says: its standard for the types that
 * every MPI has; for those of Fortran and C++, and for extensions, where the standard allows it,
 * this MPI itself. User-defined operations always. */
bool nsh__type_reducible(nsh__type *type, MPI_Op op);

/* Equal on all ranks for the same predefined operation; one number for all user-defined ones, whose
 * handles may differ between processes. */
uint64_t nsh__op_signature(MPI_Op op);

/* MPI is initialised and not finalised. */
bool nsh__mpi_alive(void);

#endif
