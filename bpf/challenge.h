/* Pure. The challenge: an acknowledgement number that only a live host at that address sends back.
 *
 * An ACK, with SYN or without, for something that the client never sent makes it answer <SEQ=SEG.ACK><CTL=RST> (RFC
 * 9293, 3.10.7.3), and try again. Ours is without SYN (docs/adr/0006-challenge-by-ack.md). The number is a keyed hash of
 * the flow and the time; the RST brings it back. 32 bits, two times accepted: 31 bits of proof.
 *
 * The same hash without the time names the flow's door in a filter of fixed size, which also keeps whether a source was
 * asked. The key is one of its own.
 */
#pragma once

#include "cookie.h"

#define PURPOSE_FLOW 0xf1ULL
#define PURPOSE_CHALLENGE 0xca11ULL
#define CHALLENGE_TIMES 2

static __always_inline __u64 flow_hash(const struct key *key, const struct packet *p)
{
	struct siphash s;

	siphash_begin(&s, key);
	hash_addresses(&s, p);
	siphash_word(&s, PURPOSE_FLOW << 48 | ports_word(p));
	return siphash_end(&s, p->v6 ? 5 : 2);
}

/* `time` in units of 2^CHALLENGE_TIME_SHIFT ns. The flow's hash is secret and as good as the flow, so one more word
 * over it is enough. */
static __always_inline __u32 challenge_number(const struct key *key, __u64 flow, __u32 time)
{
	struct siphash s;

	siphash_begin(&s, key);
	siphash_word(&s, flow ^ (PURPOSE_CHALLENGE << 48 | time));
	return (__u32)siphash_end(&s, 1);
}

static __always_inline bool challenge_check(const struct key *key, __u64 flow, __u32 now, __u32 number)
{
	return number == challenge_number(key, flow, now) || number == challenge_number(key, flow, now - 1);
}

/* A cell of the filter, shared by everything whose hash falls on it: sources, and flows of networks that are spoofed.
 *
 * door: 32 bits that name the flow, 32 bits of the tick it was opened in, so that an old one never looks new again. Two of them; a new
 * one takes the older's place, and an empty one is the oldest there is.
 *
 * asked: one word for the time now and one for the time before, each 16 bits of its time and 48 bits for what was
 * asked. A word of another time is empty, so the filter forgets by itself. */
struct flow {
	__u64 asked[2];
	__u64 door[2];
};

#define ASKED_BITS 48

static __always_inline __u32 flow_index(__u64 hash)
{
	return hash & (FLOWS - 1);
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

/* Whether any flow's door may be open: tells nearly every cell without a flow's name. */
static __always_inline bool door_may_be_open(const struct flow *cell, __u32 tick)
{
	return door_age(cell->door[0], tick) < DOOR_TICKS || door_age(cell->door[1], tick) < DOOR_TICKS;
}

static __always_inline bool door_is_open(const struct flow *cell, __u64 flow, __u32 tick)
{
	return door_is_for(cell->door[0], flow, tick) || door_is_for(cell->door[1], flow, tick);
}

static __always_inline void door_set(struct flow *cell, __u64 flow, __u32 tick)
{
	__u64 *older = door_age(cell->door[0], tick) >= door_age(cell->door[1], tick) ? &cell->door[0] : &cell->door[1];

	*older = door_value(flow, tick);
}

/* What is asked has a name of two parts: a hash that also finds the cell, and what tells apart within it. */
static __always_inline __u64 asked_bit(__u64 hash, __u32 part)
{
	__u32 mixed = ((__u32)(hash >> 20) ^ part) * 0x85ebca6bu;

	return 1ULL << (((__u64)mixed * ASKED_BITS) >> 32);
}

/* Whether this was asked before, and from now on it was. `time` in units of 2^ASKED_TIME_SHIFT ns: it is remembered for
 * one to two of them, which covers the first retransmission: after one second (RFC 6298), in older systems after three. */
static __always_inline bool asked_before(struct flow *cell, __u64 bit, __u32 time)
{
	const __u64 stamps = ~0ULL << ASKED_BITS;
	__u64 stamp = (__u64)(__u16)time << ASKED_BITS;
	__u64 last_stamp = (__u64)(__u16)(time - 1) << ASKED_BITS;
	__u64 *now = time & 1 ? &cell->asked[1] : &cell->asked[0];
	__u64 last = time & 1 ? cell->asked[0] : cell->asked[1];
	__u64 word = (*now & stamps) == stamp ? *now : stamp;
	bool before = (word & bit) || ((last & stamps) == last_stamp && (last & bit));

	*now = word | bit;
	return before;
}
