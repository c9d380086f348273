/* SPDX-License-Identifier: BSD-3-Clause */
/* scratch.h -- a directory of its own for a test that makes files. */
#ifndef NODESHARE_SCRATCH_H
#define NODESHARE_SCRATCH_H

/* [collective] Over MPI_COMM_WORLD: make the directory, in NSH_TEST_DIR or /tmp; all ranks know its
 * name. The last remove it with all that is in it. */
const char *scratch_make(void);
void scratch_remove(void);

/* The path of a file in it; good until the fourth call after this. */
const char *scratch_path(const char *name);

/* [collective] What rank 0 sees of files whose names begin so; removal by it, with a barrier. */
int scratch_count(const char *prefix);
void scratch_unlink(const char *name);

#endif
