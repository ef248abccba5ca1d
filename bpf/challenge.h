/* Pure. The challenge: an acknowledgement number that only a live host at that address sends back.
 *
 * An ACK, with SYN or without, for something that the client never sent makes it answer <SEQ=SEG.ACK><CTL=RST> (RFC
 * 9293, 3.10.7.3), and try again. Ours is without SYN (docs/adr/0006-challenge-by-ack.md). The number is a keyed hash of
 * the flow and the time; the RST brings it back. 32 bits, two times accepted: 31 bits of proof.
 *
 * The RST opens a door: the flow's next SYN passes. The key is one of its own.
 */
#pragma once

#include "cookie.h"

#define PURPOSE_FLOW 1ULL
#define PURPOSE_CHALLENGE 2ULL
#define CHALLENGE_TIMES 2

/* A keyed hash of a flow, for one purpose; `time` has 20 bits. */
static __always_inline __u64 flow_hash_for(const struct key *key, const struct packet *p, __u64 purpose, __u32 time)
{
	struct siphash s;

	siphash_begin(&s, key);
	hash_addresses(&s, p);
	return siphash_end(&s, p->v6 ? 4 : 1, purpose << 52 | (__u64)(time & 0xfffff) << 32 | ports_word(p));
}

/* The name of a flow, whose upper half its door has. */
static __always_inline __u64 flow_hash(const struct key *key, const struct packet *p)
{
	return flow_hash_for(key, p, PURPOSE_FLOW, 0);
}

/* What a challenge is made of: its acknowledgement number is the lower half. `time` in units of 2^CHALLENGE_TIME_SHIFT ns; its
 * names come again after 52 days. */
static __always_inline __u64 challenge_hash(const struct key *key, const struct packet *p, __u32 time)
{
	return flow_hash_for(key, p, PURPOSE_CHALLENGE, time);
}

/* Whether an RST's sequence number is that of a challenge of its flow. */
static __always_inline bool challenge_check(const struct key *key, const struct packet *p, __u32 now, __u32 number)
{
	return number == (__u32)challenge_hash(key, p, now) || number == (__u32)challenge_hash(key, p, now - 1);
}

/* Two doors, for the flows of all sources whose hash falls on this cell: 32 bits that name the flow, 32 bits of the tick it was opened
 * in, so that an old one never looks new again. A new one takes the older's place, and an empty one is the oldest there is. */
struct doors {
	__u64 door[2];
};

static __always_inline __u32 doors_index(__u64 hash)
{
	return hash & (DOOR_CELLS - 1);
}

static __always_inline __u64 door_value(__u64 flow, __u32 tick)
{
	return (flow >> 32) << 32 | tick;
}

static __always_inline __u32 door_age(__u64 door, __u32 tick)
{
	return tick - (__u32)door;
}

static __always_inline bool door_is_for(__u64 door, __u64 flow, __u32 tick)
{
	return door >> 32 == flow >> 32 && door_age(door, tick) < DOOR_TICKS;
}

static __always_inline bool door_is_open(const struct doors *cell, __u64 flow, __u32 tick)
{
	return door_is_for(cell->door[0], flow, tick) || door_is_for(cell->door[1], flow, tick);
}

static __always_inline void door_set(struct doors *cell, __u64 flow, __u32 tick)
{
	__u64 *older = door_age(cell->door[0], tick) >= door_age(cell->door[1], tick) ? &cell->door[0] : &cell->door[1];

	*older = door_value(flow, tick);
}
