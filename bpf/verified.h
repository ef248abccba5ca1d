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

static __always_inline __u8 *trace_cell(const struct control *c, __u64 key)
{
	__u32 zero = 0;
	struct trace_cells *cells = bpf_map_lookup_elem(&traces, &zero);

	return cells ? &cells->cell[trace_index(key, c->flow_key.k1)] : NULL;
}

/* Whether anything may be known of the source: no for nearly all of a flood. */
static __always_inline bool left_trace(const struct packet *p, const struct control *c, __u32 tick)
{
	__u8 *cell = trace_cell(c, verified_key(p));

	return cell && seen_within(*cell, tick, verified_ticks);
}

static __always_inline void leave_trace(const struct control *c, __u64 key, __u32 tick)
{
	__u8 *cell = trace_cell(c, key);

	/* Read first: what says the same already stays in every processor's cache. */
	if (cell && *cell != seen_value(tick))
		*cell = seen_value(tick);
}

static __always_inline struct verified *verified_find(bool v6, __u64 key)
{
	__u32 address = key;

	if (v6)
		return bpf_map_lookup_elem(&verified6, &key);
	return bpf_map_lookup_elem(&verified4, &address);
}

/* Takes one SYN from a bucket. Two CPUs may take the same one: a bound a little too wide, not a lock. */
static __always_inline bool bucket_take(__u32 *filled, __u32 *level, __u64 now_ns, __u32 rate, __u32 burst)
{
	__u32 now = now_ns >> RATE_SHIFT;
	__u32 passed = now - *filled;
	__u64 tokens = *level + (__u64)passed * rate;

	if (tokens > burst)
		tokens = burst;
	if (tokens < 1024)
		return false;
	*filled = now;
	*level = tokens - 1024;
	return true;
}

/* The entry of a source that is verified; NULL for any other. */
static __always_inline struct verified *verified_known(const struct packet *p, const struct control *c, __u64 now_ns)
{
	__u32 tick = now_ns >> TICK_SHIFT;
	__u64 key = verified_key(p);

	if (likely(!left_trace(p, c, tick)))
		return NULL;
	__u8 *cell = seen_cell(c, key);

	if (!cell || !seen_within(*cell, tick, verified_ticks))
		return NULL;
	struct verified *v = verified_find(p->v6, key);

	return v && tick - v->seen <= verified_ticks ? v : NULL;
}

/* Whether the source is verified, and within its rate into the reserve. */
static __always_inline bool is_verified(const struct packet *p, const struct control *c, __u64 now_ns)
{
	struct verified *v = verified_known(p, c, now_ns);

	return v && bucket_take(&v->filled, &v->tokens, now_ns, verified_rate, verified_burst);
}
