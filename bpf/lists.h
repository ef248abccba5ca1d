/* Pure. The lists of sources: prefixes that are blocked, and prefixes that are allowed.
 *
 * A list is a hash of prefixes, asked once for each prefix length in use. Almost no source is on a list, so a filter goes in front: a
 * bit for each IPv4 /24 that a listed prefix touches, and for IPv6 one for each hash of a /48. One load decides nearly every source,
 * however long the lists are; IPv6 prefixes shorter than /48 are asked for always. A bit stays when its prefix goes, until the next
 * change of policy: it costs a few look-ups and decides nothing.
 *
 * Who is on both lists is allowed: a name that the owner gave must not be locked out by a list from elsewhere. Only a block that
 * was forced goes before.
 *
 * The four functions without a body are the world: maps and the clock in the programs, arrays in the native tests.
 */
#pragma once

#include "abi.h"
#include "packet.h"
#include "sketch.h"

#define FILTER_BITS_SHIFT 24 /* the bits of one family */

static __always_inline const struct lists *lists_head(void);
static __always_inline __u64 filter_word(__u32 index);
static __always_inline struct listed *listed_find(const struct listed_key *key);
static __always_inline __u64 lists_now_ns(void);

/* How a source stands. */
enum standing {
	STANDING_NONE = 0,
	STANDING_BLOCKED = 1,
	STANDING_ALLOWED = 2,
};

/* What is asked about a packet. */
struct source {
	__u32 address[4]; /* network order; zeros behind an IPv4 address */
	__u32 v6;
	__u32 opens; /* it is a SYN; for others an allowance only keeps a block away */
};

static __always_inline void source_of(struct source *s, const struct packet *p, bool opens)
{
	__builtin_memset(s, 0, sizeof(*s));
	s->opens = opens;
	s->v6 = p->v6;
	s->address[0] = p->source[0];
	if (p->v6) {
		for (int i = 1; i < 4; i++)
			s->address[i] = p->source[i];
	}
}

/* The filter's bit for a source. */
static __always_inline __u32 filter_bit(const struct source *s, __u64 secret)
{
	if (!s->v6)
		return swap32(s->address[0]) >> 8;
	__u64 prefix = ((__u64)s->address[1] << 32 | s->address[0]) & 0x0000ffffffffffffULL;

	return 1u << FILTER_BITS_SHIFT | mix(prefix, secret) >> (32 - FILTER_BITS_SHIFT);
}

static __always_inline bool filter_hit(const struct source *s, __u64 secret)
{
	__u32 bit = filter_bit(s, secret);

	return filter_word(bit >> 6) >> (bit & 63) & 1;
}

/* Whether the filter alone says that a source is on no list. Asked before anything is laid out, since nearly every packet's way ends
 * here. */
static __always_inline bool ruled_out(const struct lists *l, const struct packet *p)
{
	struct source s = {.v6 = p->v6};

	if (p->v6 && (l->block[KIND_V6_SHORT].count | l->allow[KIND_V6_SHORT].count))
		return false;
	s.address[0] = p->source[0];
	s.address[1] = p->source[1];
	return !filter_hit(&s, l->secret);
}

/* Whether an entry still holds. */
static __always_inline bool listed_holds(const struct listed *e)
{
	return e->expires == 0 || (__s32)(e->expires - (__u32)(lists_now_ns() >> TICK_SHIFT)) > 0;
}

/* An entry that covers the source, of the lengths of one kind. A forced block is searched for to the end. */
static __always_inline struct listed *lengths_walk(const struct lengths *l, const struct source *s, enum list list,
						   struct listed *found)
{
	for (__u32 i = 0; i < LENGTHS; i++) {
		if (i >= l->count)
			break;
		struct listed_key key = {.list = list, .v6 = s->v6, .length = l->at[i].length};

		for (int word = 0; word < 4; word++)
			key.address[word] = s->address[word] & l->at[i].mask[word];
		struct listed *e = listed_find(&key);

		if (!e || !listed_holds(e))
			continue;
		found = e;
		if (list == LIST_ALLOW || (e->flags & LISTED_FORCED))
			break;
	}
	return found;
}

static __always_inline bool is_final(const struct listed *e, enum list list)
{
	return e && (list == LIST_ALLOW || (e->flags & LISTED_FORCED));
}

/* An entry of a list that covers the source. `hit`: the filter says that there may be one. The kind is calculated, and not branched for, so
 * that the verifier looks at one walk for both families. */
static __always_inline struct listed *list_walk(const struct lengths *kinds, const struct source *s, enum list list,
						bool hit)
{
	const struct lengths *first = &kinds[s->v6 & 1];
	struct listed *e;

	if (!s->v6 && !hit)
		return NULL;
	e = lengths_walk(first, s, list, NULL);
	if (!s->v6 || !hit || is_final(e, list))
		return e;
	return lengths_walk(&kinds[KIND_V6_LONG], s, list, e);
}

_Static_assert(KIND_V4 == 0 && KIND_V6_SHORT == 1, "source.v6 is the first kind to be asked");

/* Takes one SYN from an allowed prefix's bucket: its addresses can be spoofed. `rate` in tokens for each 2^20 ns. Two
 * CPUs may take the same one: a bound a little too wide, not a lock. */
static __always_inline bool listed_take(struct listed *e, __u32 now, __u32 rate, __u32 burst)
{
	__u64 tokens = e->tokens + (__u64)(now - e->filled) * rate;

	if (tokens > burst)
		tokens = burst;
	e->filled = now;
	e->tokens = tokens < 1024 ? tokens : tokens - 1024;
	return tokens >= 1024;
}

/* Who is allowed: his SYN passes, within the rate. */
static __always_inline enum standing allowed_standing(struct listed *allow, const struct source *s, __u32 rate,
						      __u32 burst)
{
	if (!allow || !s->opens || !listed_take(allow, lists_now_ns() >> 20, rate, burst))
		return STANDING_NONE;
	allow->hits++;
	return STANDING_ALLOWED;
}

/* How a source stands: an enum standing. For the verifier's sake a function of its own, which is looked at once and not once for
 * each way that leads to it. */
__not_inlined int standing_of(const struct source *s, __u32 rate, __u32 burst)
{
	const struct lists *l = lists_head();
	struct listed *block = NULL;

	if (!s || !l)
		return STANDING_NONE;
	bool hit = filter_hit(s, l->secret);

	if (!hit && !s->v6)
		return STANDING_NONE;
	if (l->blocks)
		block = list_walk(l->block, s, LIST_BLOCK, hit);
	if (!block && !s->opens)
		return STANDING_NONE;
	if (is_final(block, LIST_BLOCK)) {
		block->hits++;
		return STANDING_BLOCKED;
	}
	struct listed *allow = list_walk(l->allow, s, LIST_ALLOW, hit);

	if (block && !allow) {
		block->hits++;
		return STANDING_BLOCKED;
	}
	return allowed_standing(allow, s, rate, burst);
}

/* How the source of a packet stands. `opens`: it is a SYN. Where there are no lists, one branch. */
static __always_inline enum standing standing(const struct packet *p, bool opens, __u32 rate, __u32 burst)
{
	const struct lists *l = lists_head();
	struct source s;

	if (!l || likely(!(opens ? l->any : l->blocks)) || likely(ruled_out(l, p)))
		return STANDING_NONE;
	source_of(&s, p, opens);
	return standing_of(&s, rate, burst);
}
