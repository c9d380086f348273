/* SPDX-License-Identifier: BSD-3-Clause */
/* identity.h -- which file it is that a rank has open, as far as another rank, on this host or on
 * another one, can tell.
 *
 * Device and inode number tell the files of one host apart. Between hosts numbers of devices mean
 * nothing; there inode, size, time of the last change and the first bytes are compared.
 *
 * All functions are [local]; a failure is worded with the name of the public call and the path. */
#ifndef NSH_DISK_IDENTITY_H
#define NSH_DISK_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

/* Travels between ranks as bytes. */
typedef struct nsh__identity {
    uint64_t host;          /* where device was read */
    uint64_t device, inode; /* inode 0: no file */
    int64_t bytes;
    int64_t mtime; /* nanoseconds; 0: the file is being changed, and this says nothing */
    uint64_t head; /* of the first bytes: HDF5's superblock */
} nsh__identity;

/* The file behind a descriptor. NSH_ERR_IO. */
int nsh__identity_of(const char *call, const char *path, int fd, nsh__identity *out);

/* Are both the same file? */
bool nsh__identity_same(const nsh__identity *a, const nsh__identity *b);

/* By the rank that made `known`: the file at path is still that one, and nobody has written to it;
 * or *gone: there is none at all. NSH_ERR_STATE, worded. written: it does not matter who has
 * written to it. */
int nsh__identity_still(const char *call, const char *path, const nsh__identity *known,
                        bool written, bool *gone);

#endif
