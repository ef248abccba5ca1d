/* Pure. How many answers a network got this tick: a count-min sketch of fixed size, so that a flood that spoofs one
 * network's addresses cannot make us flood it, and a flood with scattered addresses cannot fill anything.
 *
 * A cell is 8 bits of its tick and 24 bits of count; a cell of another tick is empty. Two rows: a network is over its
 * bound only when both of its cells are, so one that shares a cell with a flooded one is not taken for it.
 */
#pragma once

#include "packet.h"
#include "types.h"

#define ANSWER_COUNT_MAX 0xffffff

/* The network a source belongs to: /24 for IPv4, /56 for IPv6. */
static __always_inline __u64 source_network(const struct packet *p)
{
	if (p->v6)
		return ((__u64)p->source[1] << 32 | p->source[0]) & 0x00ffffffffffffffULL;
	return p->source[0] & 0x00ffffff;
}

static __always_inline __u32 mix(__u64 x, __u64 secret)
{
	x ^= secret;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 32;
	x *= 0xc4ceb9fe1a85ec53ULL;
	return x >> 32;
}

/* Counts one more in a cell, and returns the count. */
static __always_inline __u32 cell_count(__u32 *cell, __u32 tick)
{
	__u32 value = *cell;
	__u32 count = (value >> 24) == (tick & 0xff) ? value & ANSWER_COUNT_MAX : 0;

	if (count < ANSWER_COUNT_MAX)
		count++;
	*cell = tick << 24 | count;
	return count;
}
