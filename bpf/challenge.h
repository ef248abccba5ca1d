/* Pure. The challenge: an acknowledgement number that only a live host at that address sends back.
 *
 * A SYN-ACK that acknowledges something the client never sent makes it answer <SEQ=SEG.ACK><CTL=RST> (RFC
 * 9293, 3.10.7.3), and try again. So the number is a keyed hash of the flow and the time; the RST brings it back, and
 * nothing was stored. 32 bits, two times accepted: 31 bits of proof.
 *
 * The same hash without the time names the flow in the two fixed-size filters: `doors` (flows that proved themselves)
 * and `asked` (flows that were asked). The key is one of its own.
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

/* A door: 24 bits that name the flow within its cell, 8 bits of the tick it was opened in. */
static __always_inline __u32 door_index(__u64 flow)
{
	return flow & (DOORS - 1);
}

static __always_inline __u32 door_value(__u64 flow, __u32 tick)
{
	return (__u32)(flow >> 40) << 8 | (tick & 0xff);
}

static __always_inline bool door_is_open(__u32 cell, __u64 flow, __u32 tick)
{
	/* An empty cell names a flow too, one in 2^24, at ticks near a multiple of 256: a chance, and only a door to
	 * the kernel's own handshake. */
	return cell >> 8 == (__u32)(flow >> 40) && ((tick - cell) & 0xff) < DOOR_TICKS;
}

/* Flows that were asked: two words for two times, each 16 bits of its time and 48 bits for flows. A word of another
 * time is empty, so the filter forgets by itself. The client's sequence number belongs to the name here: another
 * connection from the same port is not the same question. */
struct asked {
	__u64 word[2];
};

#define ASKED_BITS 48

static __always_inline __u32 asked_index(__u64 flow, __u32 isn)
{
	return ((__u32)(flow >> 20) ^ isn * 0x9e3779b1u) & (ASKED - 1);
}

static __always_inline __u64 asked_bit(__u64 flow, __u32 isn)
{
	__u32 mixed = ((__u32)flow ^ isn) * 0x85ebca6bu;

	return 1ULL << (((__u64)mixed * ASKED_BITS) >> 32);
}

/* Whether the flow was asked before, and from now on it was. `time` in units of 2^ASKED_TIME_SHIFT ns: a flow is
 * remembered for one to two of them, which covers the first retransmission, one second later (RFC 6298). */
static __always_inline bool asked_before(struct asked *a, __u64 bit, __u32 time)
{
	__u64 stamp = (__u64)(__u16)time << ASKED_BITS;
	__u64 last_stamp = (__u64)(__u16)(time - 1) << ASKED_BITS;
	__u64 *now = time & 1 ? &a->word[1] : &a->word[0];
	__u64 last = time & 1 ? a->word[0] : a->word[1];
	const __u64 stamps = ~0ULL << ASKED_BITS;
	__u64 word = (*now & stamps) == stamp ? *now : stamp;
	bool before = (word & bit) || ((last & stamps) == last_stamp && (last & bit));

	*now = word | bit;
	return before;
}
