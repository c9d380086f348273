/* SPDX-License-Identifier: BSD-3-Clause */
/* datatype.c -- MPI datatypes by name. */
#include <nodeshare/datatype.h>

#include "base/error.h"
#include "base/type.h"

#include <string.h>

typedef struct named {
    const char *name;
    MPI_Datatype handle;
    nsh__type_class class_;
    int64_t itemsize;
} named;

/* The first named type that matches the key; false: no type matches. In Open MPI handles are
 * addresses, so the table cannot be static. */
static bool find_datatype(bool (*matches)(const named *, const void *), const void *key, named *out)
{
    const named table[] = {
        {"int8", MPI_INT8_T, NSH__CLASS_INTEGER, 1},
        {"int16", MPI_INT16_T, NSH__CLASS_INTEGER, 2},
        {"int32", MPI_INT32_T, NSH__CLASS_INTEGER, 4},
        {"int64", MPI_INT64_T, NSH__CLASS_INTEGER, 8},
        {"uint8", MPI_UINT8_T, NSH__CLASS_INTEGER, 1},
        {"uint16", MPI_UINT16_T, NSH__CLASS_INTEGER, 2},
        {"uint32", MPI_UINT32_T, NSH__CLASS_INTEGER, 4},
        {"uint64", MPI_UINT64_T, NSH__CLASS_INTEGER, 8},
        {"float32", MPI_FLOAT, NSH__CLASS_FLOAT, 4},
        {"float64", MPI_DOUBLE, NSH__CLASS_FLOAT, 8},
        {"complex64", MPI_C_FLOAT_COMPLEX, NSH__CLASS_COMPLEX, 8},
        {"complex128", MPI_C_DOUBLE_COMPLEX, NSH__CLASS_COMPLEX, 16},
        {"bool", MPI_C_BOOL, NSH__CLASS_LOGICAL, 1},
        {"char", MPI_CHAR, NSH__CLASS_NONE, 1},
        {"byte", MPI_BYTE, NSH__CLASS_BYTE, 1},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (matches(&table[i], key)) {
            *out = table[i];
            return true;
        }
    return false;
}

static bool has_name(const named *type, const void *name)
{
    return strcmp(type->name, name) == 0;
}

/* Do elements of both types have the same bits? MPI_PACKED, characters and the logicals of Fortran
 * share class and size with named types, but mean something else. */
static bool has_bits(const named *type, const void *key)
{
    const nsh__type *described = key;

    if (type->class_ == NSH__CLASS_NONE || described->class_ == NSH__CLASS_NONE)
        return type->handle == described->handle;
    if (strncmp(described->name, "MPI_LOGICAL", strlen("MPI_LOGICAL")) == 0)
        return false;
    if (type->class_ == NSH__CLASS_INTEGER &&
        (type->name[0] == 'u') != (strncmp(described->name, "MPI_U", strlen("MPI_U")) == 0))
        return false;
    return type->class_ == described->class_ && type->itemsize == described->itemsize;
}

int nsh_datatype_by_name(const char *name, MPI_Datatype *out)
{
    named type;

    if (name == NULL || out == NULL)
        return nsh__fail(NSH_ERR_ARG, "nsh_datatype_by_name: %s is NULL",
                         name == NULL ? "name" : "out");
    if (!find_datatype(has_name, name, &type))
        return nsh__fail(NSH_ERR_NOT_FOUND, "nsh_datatype_by_name: there is no datatype \"%.60s\"",
                         name);
    *out = type.handle;
    return NSH_SUCCESS;
}

const char *nsh_datatype_name(MPI_Datatype type)
{
    nsh__type described;
    nsh__detail kept;
    named found;

    nsh__detail_keep(&kept);
    if (nsh__type_init("nsh_datatype_name", -1, type, &described) != NSH_SUCCESS) {
        nsh__detail_restore(&kept);
        return NULL;
    }
    return !described.derived && find_datatype(has_bits, &described, &found) ? found.name : NULL;
}
