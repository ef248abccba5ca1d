/* Pure. Two things of fixed size that are kept by hashes of sources.
 *
 * How many answers a network got this tick: a count-min sketch, so that a flood that spoofs one network's addresses cannot make us
 * flood it, and a flood with scattered addresses cannot fill anything. A network has two cells, both in one cache line; a cell is 8
 * bits of its tick and 24 bits of count, and a cell of another tick is empty. A network is over its bound only when both of its cells
 * are, so one that shares a cell with a flooded one is not taken for it.
 *
 * Whether a source may be verified at all: one byte, the time of the last handshake that fell on it. Almost every source of a flood is
 * told from the verified ones by it, without a look into their table.
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

static __always_inline __u64 mix_whole(__u64 x, __u64 secret)
{
	x ^= secret;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 32;
	x *= 0xc4ceb9fe1a85ec53ULL;
	return x;
}

static __always_inline __u32 mix(__u64 x, __u64 secret)
{
	return mix_whole(x, secret) >> 32;
}

#define ANSWER_CELLS 16

struct answer_line {
	__u32 cell[ANSWER_CELLS];
};

static __always_inline __u32 answer_line_index(__u32 hash)
{
	return hash & (ANSWER_LINES - 1);
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

/* Counts one more for a network, and returns how many there were at most this tick. */
static __always_inline __u32 answer_count(struct answer_line *line, __u32 hash, __u32 tick)
{
	__u32 first = cell_count(&line->cell[hash >> 13 & 7], tick);
	__u32 second = cell_count(&line->cell[8 + (hash >> 16 & 7)], tick);

	return first < second ? first : second;
}

/* The unit of `seen`: 1024 ticks, 18 minutes. */
#define SEEN_SHIFT 10

static __always_inline __u32 seen_index(__u64 source, __u64 secret)
{
	return mix(source, secret) & (SEEN_SOURCES - 1);
}

/* 0 is a cell that nobody fell on, so the times are 1 to 255. */
static __always_inline __u8 seen_value(__u32 tick)
{
	return (tick >> SEEN_SHIFT) % 255 + 1;
}

static __always_inline bool seen_within(__u8 cell, __u32 tick, __u32 ticks)
{
	__u32 age = ((tick >> SEEN_SHIFT) % 255 + 1 + 255 - cell) % 255;

	return cell != 0 && age <= (ticks >> SEEN_SHIFT) + 1;
}
