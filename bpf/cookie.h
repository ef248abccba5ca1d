/* Pure. The cookie: a SYN's options and a proof, in the two numbers that a client sends back.
 *
 *   sequence number of our SYN-ACK (comes back as acknowledgement number minus one):
 *        31 30   29 28 27   26 25 24 23   22   21 ........................ 0
 *        time    MSS index  window scale  SACK hash, low 22 bits
 *
 *   TSval of our SYN-ACK, for clients that use timestamps (comes back as TSecr):
 *        31 .................................................... 1   0
 *        hash, 31 more bits                                          ECN
 *
 * The hash is SipHash-2-4 over both addresses and ports, the client's own sequence number, the cookie time (34.4 s) and
 * all of the options, so that no bit can be turned. Proof: 22 bits, and 53 with timestamps. Three cookie times are
 * accepted: a cookie lives 68.7 to 103 s.
 *
 * Which key made a cookie follows from its time, so the number needs no bit for it: see `key_word` in abi.h.
 */
#pragma once

#include "packet.h"
#include "siphash.h"

#define COOKIE_HASH_BITS 22
#define COOKIE_HASH_MASK ((1u << COOKIE_HASH_BITS) - 1)
#define COOKIE_TIMES 3
#define PURPOSE_COOKIE 0xc0ULL

/* What a cookie keeps of a SYN. */
struct kept {
	__u8 mss_index;
	__u8 window_scale; /* NO_WINDOW_SCALE: the client did not offer it */
	__u8 sack;
	__u8 timestamps;
	__u8 ecn; /* only with timestamps */
};

/* Eight values each, the smallest that the kernel takes first; the rest are the paths there are: PPPoE, tunnels, plain
 * Ethernet, jumbo frames. */
static __always_inline __u16 mss_value(__u8 index, bool v6)
{
	switch (index & 7) {
	case 0:
		return v6 ? 1220 : 536;
	case 1:
		return v6 ? 1340 : 1220;
	case 2:
		return v6 ? 1380 : 1360;
	case 3:
		return v6 ? 1400 : 1400;
	case 4:
		return v6 ? 1420 : 1440;
	case 5:
		return v6 ? 1432 : 1452;
	case 6:
		return v6 ? 1440 : 1460;
	default:
		return v6 ? 8940 : 8960;
	}
}

/* The largest value that is not above the client's; a client without the option means 536 and 1220 (RFC 9293, 3.7.1).
 */
static __always_inline __u8 mss_index(__u16 mss, bool v6)
{
	__u8 index = 0;

	/* Ethernet's own, which nearly everybody has. */
	if (likely(mss == mss_value(6, v6)))
		return 6;
	for (__u8 i = 1; i < 8; i++) {
		if (mss >= mss_value(i, v6))
			index = i;
	}
	return index;
}

static __always_inline __u64 both(__u32 low, __u32 high)
{
	return (__u64)high << 32 | low;
}

/* Addresses and ports, from the client's side. Returns how many words went in, less the one the caller adds. */
static __always_inline void hash_addresses(struct siphash *s, const struct packet *p)
{
	if (p->v6) {
		siphash_word(s, both(p->source[0], p->source[1]));
		siphash_word(s, both(p->source[2], p->source[3]));
		siphash_word(s, both(p->destination[0], p->destination[1]));
		siphash_word(s, both(p->destination[2], p->destination[3]));
	} else {
		siphash_word(s, both(p->source[0], p->destination[0]));
	}
}

static __always_inline __u32 ports_word(const struct packet *p)
{
	return (__u32)p->destination_port << 16 | p->source_port;
}

/* `isn` is the client's initial sequence number, `time` the cookie time. */
static __always_inline __u64 cookie_hash(const struct key *key, const struct packet *p, __u32 isn, __u32 time,
					 const struct kept *k)
{
	__u64 options = (__u64)k->mss_index | k->window_scale << 3 | k->sack << 7 | k->timestamps << 8 | k->ecn << 9;
	struct siphash s;

	siphash_begin(&s, key);
	hash_addresses(&s, p);
	siphash_word(&s, both(ports_word(p), isn));
	return siphash_end(&s, p->v6 ? 5 : 2, PURPOSE_COOKIE << 48 | options << 32 | time);
}

static __always_inline __u32 cookie_sequence(__u64 hash, __u32 time, const struct kept *k)
{
	return (time & 3) << 30 | (__u32)k->mss_index << 27 | (__u32)k->window_scale << 23 |
	       (__u32)k->sack << COOKIE_HASH_BITS | ((__u32)hash & COOKIE_HASH_MASK);
}

static __always_inline __u32 cookie_timestamp(__u64 hash, const struct kept *k)
{
	return (__u32)(hash >> 33) << 1 | k->ecn;
}

/* Which of the two keys belongs to a cookie time. */
static __always_inline const struct key *cookie_key(const struct control *c, __u32 time)
{
	__u64 word = c->key_word;
	__u32 slot = word & 1;

	if (time < (__u32)(word >> 1))
		slot ^= 1;
	return slot ? &c->cookie_key[1] : &c->cookie_key[0];
}

/* What we offer ourselves; user space sets it from net.ipv4.tcp_timestamps and its neighbours. */
#define OFFER_TIMESTAMPS 1
#define OFFER_SACK 2
#define OFFER_WINDOW_SCALE 4
#define OFFER_ECN 8

/* Keeps what there is of a SYN's options, except for what we do not offer. */
static __always_inline void cookie_keep(const struct packet *p, const struct options *o, __u32 offers, struct kept *k)
{
	k->mss_index = mss_index(o->mss, p->v6);
	k->window_scale = offers & OFFER_WINDOW_SCALE ? o->window_scale : NO_WINDOW_SCALE;
	k->sack = offers & OFFER_SACK ? o->sack : 0;
	k->timestamps = offers & OFFER_TIMESTAMPS ? o->timestamps : 0;
	k->ecn = (offers & OFFER_ECN) && k->timestamps && (p->flags & (TCP_ECE | TCP_CWR)) == (TCP_ECE | TCP_CWR);
}

/* Whether an ACK carries a cookie of ours, and what it kept. `now` is the cookie time now. */
static __always_inline bool cookie_check(const struct control *c, const struct packet *p, const struct options *o,
					 __u32 now, struct kept *k)
{
	__u32 cookie = p->acknowledgement - 1;
	__u32 age = (now - (cookie >> 30)) & 3;

	if (age >= COOKIE_TIMES)
		return false;
	k->mss_index = cookie >> 27 & 7;
	k->window_scale = cookie >> 23 & 15;
	k->sack = cookie >> COOKIE_HASH_BITS & 1;
	k->timestamps = o->timestamps;
	k->ecn = o->timestamps ? o->timestamp_echo & 1 : 0;
	__u32 time = now - age;
	__u64 hash = cookie_hash(cookie_key(c, time), p, p->sequence - 1, time, k);

	if (((__u32)hash ^ cookie) & COOKIE_HASH_MASK)
		return false;
	return !o->timestamps || cookie_timestamp(hash, k) == o->timestamp_echo;
}
