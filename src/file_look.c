/* SPDX-License-Identifier: BSD-3-Clause */
/* file_look.c -- what is in a file: its datasets, and what each of them is. */
#include "file.h"

#include "hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fill_info(const nsh__dataset *dataset, nsh_dataset_info *out)
{
    *out = (nsh_dataset_info){.ndim = dataset->ndim,
                              .growing = dataset->growing,
                              .size = dataset->size,
                              .itemsize = dataset->form.node[0].size * dataset->form.node[0].count,
                              .stored = dataset->stored,
                              .attributes = dataset->attributes};
    memcpy(out->extent, dataset->extent, sizeof out->extent);
    memcpy(out->chunk, dataset->chunk, sizeof out->chunk);
    memcpy(out->filters, dataset->filters, sizeof out->filters);
    nsh__form_print(&dataset->form, out->type, sizeof out->type);
}

int nsh_file_info(nsh_file *file, const char *name, nsh_dataset_info *out)
{
    const nsh__call call = NSH__CALL_FILE_INFO;
    nsh__found found;
    uint64_t mark;
    int rc;

    if (file == NULL)
        return nsh__file_null(call, "file");
    rc = out != NULL ? NSH_SUCCESS : nsh__file_null(call, "out");
    mark = nsh__file_name_mark(file, call, name, &rc);
    rc = nsh__file_enter(file, call, rc, mark);
    if (rc != NSH_SUCCESS)
        return rc;
    if (nsh__file_owns(file))
        rc = nsh__file_find(file, call, name, NULL, false, &found);
    rc = nsh__file_answer(file, call, rc, &found, sizeof found);
    if (rc == NSH_SUCCESS)
        fill_info(&found.dataset, out);
    return rc;
}

/* Names, NUL after each, as one block: pointers to them, a NULL, and the names. */
static char **index_names(const char *text, int64_t bytes, int64_t *n)
{
    int64_t count = 0, at = 0;
    char **index, *copy;

    for (int64_t i = 0; i < bytes; i++)
        count += text[i] == '\0';
    index = malloc((size_t)(count + 1) * sizeof *index + (size_t)bytes);
    if (index == NULL)
        return NULL;
    copy = (char *)(index + count + 1);
    if (bytes > 0)
        memcpy(copy, text, (size_t)bytes);
    for (int64_t i = 0; i < count; i++) {
        index[i] = copy + at;
        at += (int64_t)strlen(copy + at) + 1;
    }
    index[count] = NULL;
    *n = count;
    return index;
}

/* The owner's list of names to all ranks. */
static int share_names(nsh_file *file, nsh__call call, int rc, char *text, int64_t bytes,
                       int64_t *n, char ***names)
{
    char **index = NULL;
    int64_t count = 0;
    int agreed = nsh__file_answer_long(file, call, rc, &text, &bytes);

    if (agreed == NSH_SUCCESS) {
        index = index_names(text, bytes, &count);
        rc = index != NULL ? NSH_SUCCESS
                           : nsh__fail(NSH_ERR_NOMEM, "%s: no memory", nsh__call_name(call));
        agreed = nsh__file_enter(file, call, rc, 7);
    }
    if (agreed == NSH_SUCCESS || nsh__file_owns(file))
        free(text);
    if (agreed != NSH_SUCCESS) {
        free(index);
        return agreed;
    }
    *n = count;
    *names = index;
    return NSH_SUCCESS;
}

int nsh_file_list(nsh_file *file, int64_t *n, char ***names)
{
    const nsh__call call = NSH__CALL_FILE_LIST;
    char *text = NULL;
    int64_t bytes = 0;
    int rc;

    if (file == NULL)
        return nsh__file_null(call, "file");
    rc = n != NULL && names != NULL ? NSH_SUCCESS : nsh__file_null(call, "n or names");
    rc = nsh__file_enter(file, call, rc, 8);
    if (rc != NSH_SUCCESS)
        return rc;
    if (nsh__file_owns(file))
        rc = nsh__file_readable(file, call);
    if (nsh__file_owns(file) && rc == NSH_SUCCESS)
        rc = nsh__h5_list(nsh__call_name(call), file->h5, &text, &bytes);
    return share_names(file, call, rc, text, bytes, n, names);
}
