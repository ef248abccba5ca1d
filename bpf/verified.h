/* Verified sources: addresses that completed a handshake. `watch` writes them, when the kernel says that a connection
 * was accepted; `gate` only reads them and takes from their rate. So a source that has not completed a handshake never
 * costs an entry.
 */
#pragma once

#include "config.h"
#include "maps.h"

#define RATE_SHIFT 20 /* the unit of verified.filled: 2^20 ns */

/* The key of a source in its table: the address itself, or the prefix of an IPv6 address. */
static __always_inline __u64 verified_key(const struct packet *p)
{
	if (p->v6)
		return ((__u64)p->source[1] << 32 | p->source[0]) & verified6_mask;
	return p->source[0];
}

static __always_inline __u8 *seen_cell(const struct control *c, __u64 key)
{
	__u32 zero = 0;
	struct seen_sources *sources = bpf_map_lookup_elem(&seen, &zero);

	return sources ? &sources->cell[seen_index(key, c->flow_key.k1)] : NULL;
}

static __always_inline struct verified *verified_find(bool v6, __u64 key)
{
	__u32 address = key;

	if (v6)
		return bpf_map_lookup_elem(&verified6, &key);
	return bpf_map_lookup_elem(&verified4, &address);
}

/* Takes one SYN from the source's bucket. Two CPUs may take the same one: a bound a little too wide, not a lock. */
static __always_inline bool verified_take(struct verified *v, __u64 now_ns)
{
	__u32 now = now_ns >> RATE_SHIFT;
	__u32 passed = now - v->filled;
	__u64 tokens = v->tokens + (__u64)passed * verified_rate;

	if (tokens > verified_burst)
		tokens = verified_burst;
	if (tokens < 1024)
		return false;
	v->filled = now;
	v->tokens = tokens - 1024;
	return true;
}

/* Whether the source is verified, and within its rate. */
static __always_inline bool is_verified(const struct packet *p, const struct control *c, __u64 now_ns)
{
	__u32 tick = now_ns >> TICK_SHIFT;
	__u64 key = verified_key(p);
	__u8 *cell = seen_cell(c, key);

	if (!cell || !seen_within(*cell, tick, verified_ticks))
		return false;
	struct verified *v = verified_find(p->v6, key);

	if (!v || tick - v->seen > verified_ticks)
		return false;
	return verified_take(v, now_ns);
}
