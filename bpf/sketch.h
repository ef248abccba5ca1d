/* Pure. Things of fixed size that are kept by hashes of sources.
 *
 * How many answers a network got this tick: a count-min sketch, so that a flood that spoofs one network's addresses cannot make us
 * flood it, and a flood with scattered addresses cannot fill anything. A network has two cells, both in one cache line; a cell is 8
 * bits of its tick and 24 bits of count, and a cell of another tick is empty. A network is over its bound only when both of its cells
 * are, so one that shares a cell with a flooded one is not taken for it.
 *
 * The same sketch bounds the SYNs of unproven sources and networks, where a limit is configured (see line_over()), and two small
 * tables say how a flood is spread: how many sources, and who makes a large part of it.
 *
 * Whether anything may be known of a source: one byte, the time of the last handshake, proof or SYN let through that fell on it.
 * Almost every source of a flood is told from those who are known by it, without a look into the tables. There are two of these, a small one that the processor
 * keeps near, and a large one behind it that still tells where there are a hundred thousand sources.
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
	/* A product's low bits know nothing of its factors' high ones, which is where the last byte of an IPv6 /64 is. */
	return x ^ x >> 32;
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

/* Whether a count of answer_count() is over a limit, and that by its own doing. Where a flood is scattered, chance puts a lot
 * into every cell; a count accuses its network only where it stands out of its line by twice the mean of the others. So a
 * sketch that is too full to tell lets pass rather than take the innocent for the flood. */
static __always_inline bool line_over(const struct answer_line *line, __u32 count, __u32 limit, __u32 tick)
{
	__u64 sum = 0;

	if (likely(count <= limit))
		return false;
	for (int i = 0; i < ANSWER_CELLS; i++) {
		if ((line->cell[i] >> 24) == (tick & 0xff))
			sum += line->cell[i] & ANSWER_COUNT_MAX;
	}
	/* Both of its own cells hold at least `count`. */
	__u64 others = sum > 2ULL * count ? sum - 2ULL * count : 0;

	return count > limit + others / 7;
}

/* Distinct sources, counted as in HyperLogLog (Flajolet and others, 2007): a register keeps the longest run of zeros of the hashes
 * that fell on it. */
static __always_inline void spread_register(__u8 *registers, __u32 hash)
{
	__u32 rest = hash >> 10;
	__u8 rank = 1;

	for (int i = 0; i < 22; i++) {
		if (rest & 1)
			break;
		rest >>= 1;
		rank++;
	}
	if (registers[hash & (SPREAD_REGISTERS - 1)] < rank)
		registers[hash & (SPREAD_REGISTERS - 1)] = rank;
}

/* A cell's majority vote (Boyer and Moore, 1981): who makes more than half of what falls on a cell stays in it, and `votes` is at
 * most what it made. */
static __always_inline void spread_vote(struct spread_cell *cell, __u64 key, __u32 v6)
{
	if (cell->votes == 0) {
		cell->key = key;
		cell->v6 = v6;
		cell->votes = 1;
	} else if (cell->key == key && cell->v6 == v6) {
		cell->votes++;
	} else {
		cell->votes--;
	}
}

/* The unit of `traces` and `seen`: 1024 ticks, 18 minutes. */
#define SEEN_SHIFT 10

static __always_inline __u32 seen_index(__u64 source, __u64 secret)
{
	return mix(source, secret) & (SEEN_SOURCES - 1);
}

static __always_inline __u32 trace_index(__u64 source, __u64 secret)
{
	return mix(source, secret) >> (32 - TRACES_SHIFT);
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
