/* SPDX-License-Identifier: BSD-3-Clause */
/* hash.h -- 64-bit mixing for signatures: values that must be equal on all ranks, as one word. The
 * finalizer is that of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). Everything here is [local,
 * any thread]. */
#ifndef NSH_BASE_HASH_H
#define NSH_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t nsh__mix(uint64_t hash, uint64_t value)
{
    uint64_t z = (hash ^ value) + 0x9e3779b97f4a7c15u + (hash << 6);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint64_t nsh__mix_bytes(uint64_t hash, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;

    hash = nsh__mix(hash, n);
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ p[i]) * 0x100000001b3u;
    return nsh__mix(hash, n);
}

#endif
