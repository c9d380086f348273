/* SPDX-License-Identifier: BSD-3-Clause */
/* datatype.h -- MPI datatypes by name, for programs that have no MPI header: scripting languages,
 * plug-ins, configuration files.
 *
 * The names are those of NumPy, and mean the same number of bits on every machine:
 *   int8 int16 int32 int64      MPI_INT8_T ... MPI_INT64_T
 *   uint8 uint16 uint32 uint64  MPI_UINT8_T ... MPI_UINT64_T
 *   float32 float64             MPI_FLOAT, MPI_DOUBLE
 *   complex64 complex128        MPI_C_FLOAT_COMPLEX, MPI_C_DOUBLE_COMPLEX: two floats, two doubles
 *   bool                        MPI_C_BOOL: a byte, 0 or 1
 *   char                        MPI_CHAR: text
 *   byte                        MPI_BYTE: bytes without a meaning
 */
#ifndef NODESHARE_DATATYPE_H
#define NODESHARE_DATATYPE_H

#include <mpi.h>

#include <nodeshare/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* [local] The predefined datatype of this name. The caller does not free it. Works before MPI_Init
 * and without it. Errors: ARG (NULL), NOT_FOUND (none of the names above). */
NSH_API int nsh_datatype_by_name(const char *name, MPI_Datatype *out);

/* [local] The name of a datatype, one of those above: also of MPI's other names for the same bits,
 * as MPI_LONG or MPI_REAL8. NULL for MPI_DATATYPE_NULL, derived types, pairs, long double, and
 * other types without a name here. The text is static. A Fortran type whose size the compiler
 * chooses, such as MPI_REAL, has a name only while MPI is initialised. */
NSH_API const char *nsh_datatype_name(MPI_Datatype type);

#ifdef __cplusplus
}
#endif

#endif
