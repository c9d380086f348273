/* SPDX-License-Identifier: BSD-3-Clause */
/* machine.h -- what this machine and its administrator allow: cores, memory, address space.
 * INT64_MAX means no limit. Does not use MPI. Everything here is [local]. */
#ifndef NSH_BASE_MACHINE_H
#define NSH_BASE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes of an affinity mask: 8192 processors. */
enum { NSH__AFFINITY_BYTES = 1024 };

/* The memory of the machine or of the control group, the smaller of the two; and how much of it is
 * unused now. */
int64_t nsh__machine_memory(void);
int64_t nsh__machine_memory_left(void);

/* /dev/shm: its size, or its free bytes. */
int64_t nsh__machine_shm(bool free);

/* RLIMIT_AS minus what is mapped already; RLIMIT_FSIZE. */
int64_t nsh__machine_address_space(void);
int64_t nsh__machine_file_size(void);

/* The processors on which this process may run, one bit for each. */
void nsh__machine_affinity(unsigned char mask[NSH__AFFINITY_BYTES]);

/* Bind the calling thread to these processors, if the system allows it. */
void nsh__machine_bind(const unsigned char mask[NSH__AFFINITY_BYTES]);

/* Usable cores: those in mask (the union over the ranks of a host), bounded by the CPU quota. */
int nsh__machine_cores(const unsigned char mask[NSH__AFFINITY_BYTES]);

/* A number that differs between hosts: a hash of hostname and boot id. */
uint64_t nsh__machine_host(void);

#endif
