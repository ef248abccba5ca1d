/* The few names that every header here needs, for both compilers: clang for BPF, and any C compiler for the native
 * tests.
 *
 * The headers that say "pure" in their first line include this and each other, and nothing of the kernel's or libbpf's:
 * they call no helper and touch no map, so that the same source is tested, fuzzed and compared from user space
 * (crates/native).
 */
#pragma once

#include <linux/types.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
/* A function that the verifier looks at by itself; natively, one that may be left unused. */
#ifdef __bpf__
#define __not_inlined __attribute__((noinline))
#else
#define __not_inlined static __attribute__((unused))
#endif
#ifndef NULL
#define NULL ((void *)0)
#endif
#ifndef __cplusplus
#define bool _Bool
#define true 1
#define false 0
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "written for little-endian machines: the byte-order helpers below would have to change"
#endif

#define swap16(x) ((__u16)__builtin_bswap16(x))
#define swap32(x) ((__u32)__builtin_bswap32(x))

#ifndef likely
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif

/* Makes the compiler forget what it knows of a variable. libbpf has the same, which is not here where the headers are compiled natively. */
#ifndef barrier_var
#define barrier_var(var) __asm__ volatile("" : "+r"(var))
#endif
