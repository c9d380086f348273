/* SPDX-License-Identifier: BSD-3-Clause */
/* identity.h -- which file a rank has open, in a form that ranks on this host and on others can
 * compare.
 *
 * Device and inode number tell the files of one host apart. Device numbers of different hosts
 * cannot be compared; there inode, size, time of the last change and the first bytes are compared.
 *
 * All functions are [local] and may be called by any rank; the detail of a failure has the name of
 * the public call and the path. */
#ifndef NSH_DISK_IDENTITY_H
#define NSH_DISK_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

/* Travels between ranks as bytes. */
typedef struct nsh__identity {
    uint64_t host;          /* the host on which device was read */
    uint64_t device, inode; /* inode 0: no file */
    int64_t bytes;
    int64_t mtime; /* nanoseconds; 0: the file is being changed, and this is not compared */
    uint64_t head; /* hash of the first bytes: HDF5's superblock */
} nsh__identity;

/* The identity of the file of a descriptor. NSH_ERR_IO. */
int nsh__identity_of(const char *call, const char *path, int fd, nsh__identity *out);

/* Are both the same file? */
bool nsh__identity_same(const nsh__identity *a, const nsh__identity *b);

/* Called by the rank that made `known`: is the file at path still that one, and unchanged? *gone:
 * no file is at path. NSH_ERR_STATE if it is another one, or has been written to. written: a file
 * that has been written to is accepted. */
int nsh__identity_still(const char *call, const char *path, const nsh__identity *known,
                        bool written, bool *gone);

#endif
