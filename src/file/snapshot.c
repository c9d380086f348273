/* SPDX-License-Identifier: BSD-3-Clause */
/* snapshot.c -- named arrays to and from a file of their own, in one call. */
#include "file/file.h"

#include "core/agree.h"

/* The communicator of the first array; NULL: there is none, so no agreement is possible. */
static nsh_comm *comm_of(int n, nsh_array *const arrays[])
{
    return n > 0 && arrays != NULL && arrays[0] != NULL ? arrays[0]->comm : NULL;
}

static const char *name_of_array(const nsh_array *array)
{
    return array != NULL && array->object.name != NULL ? array->object.name : "";
}

/* [collective] Check that every array has a name. */
static int check_names(nsh_comm *comm, nsh__call call, int n, nsh_array *const arrays[])
{
    int rc = nsh__h5_available(nsh__call_name(call));

    for (int i = 0; i < n && rc == NSH_SUCCESS; i++)
        if (name_of_array(arrays[i])[0] == '\0')
            rc = nsh__fail(NSH_ERR_ARG, "%s: array %d of %d %s (rank %d)", nsh__call_name(call), i,
                           n, arrays[i] == NULL ? "is NULL" : "has no name", comm->rank);
    return nsh__agree(comm, call, rc, (uint64_t)n);
}

/* [local] The failure of a call with arrays that have no communicator. */
static int fail_no_arrays(nsh__call call, int n)
{
    int rc = nsh__h5_available(nsh__call_name(call));

    if (rc != NSH_SUCCESS || n > 0)
        return rc != NSH_SUCCESS ? rc : nsh__file_null(call, "the first of arrays");
    return nsh__fail(NSH_ERR_ARG, "%s: n is %d, not at least 1", nsh__call_name(call), n);
}

/* [collective] The file of all these arrays, once the ranks agree on them. */
static int open_file(nsh__call call, const char *path, nsh_file_mode mode, int n,
                     nsh_array *const arrays[], nsh_file **file)
{
    nsh_comm *comm = comm_of(n, arrays);
    int rc;

    if (comm == NULL)
        return fail_no_arrays(call, n);
    rc = check_names(comm, call, n, arrays);
    return rc == NSH_SUCCESS ? nsh__file_open(comm, call, path, mode, NULL, file) : rc;
}

int nsh_snapshot_save(const char *path, int n, nsh_array *const arrays[])
{
    const nsh__call call = NSH__CALL_SNAPSHOT_SAVE;
    nsh_file *file;
    int rc = open_file(call, path, NSH_FILE_CREATE, n, arrays, &file);

    if (rc != NSH_SUCCESS)
        return rc;
    for (int i = 0; i < n && rc == NSH_SUCCESS; i++)
        rc = nsh__file_write(file, call, name_of_array(arrays[i]), arrays[i]);
    if (rc == NSH_SUCCESS)
        return nsh__file_close(&file, call);
    nsh_file_abandon(&file);
    return rc;
}

int nsh_snapshot_restore(const char *path, int n, nsh_array *const arrays[])
{
    const nsh__call call = NSH__CALL_SNAPSHOT_RESTORE;
    nsh_file *file;
    int rc = open_file(call, path, NSH_FILE_READ, n, arrays, &file);

    if (rc != NSH_SUCCESS)
        return rc;
    for (int i = 0; i < n && rc == NSH_SUCCESS; i++)
        rc = nsh__file_match(file, call, name_of_array(arrays[i]), arrays[i]);
    for (int i = 0; i < n && rc == NSH_SUCCESS; i++)
        rc = nsh__file_read(file, call, name_of_array(arrays[i]), arrays[i]);
    nsh_file_abandon(&file);
    return rc;
}
