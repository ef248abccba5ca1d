/* Limits: on SYNs to listeners, per source, network, service and host; on what is answered by RST; and what is sampled of
 * a flood so that user space can say how it is spread.
 *
 * A verified source is limited exactly, by a bucket in its entry. Everybody else is counted in sketches of fixed size. All
 * of it is off unless configured: with every limit at zero the verifier takes the code out, and `held` costs one load.
 */
#pragma once

#include "config.h"
#include "maps.h"
#include "verified.h"

/* A function with a frame of its own: the program's has 512 bytes together with those it calls. */
#define __own_frame static __attribute__((noinline))

/* The verdict of whoever is within all limits. */
#define WITHIN syn_calm

static __always_inline struct limiter *limiter_of(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&limiter, &key);
}

/* Counts one more of a key in a sketch; whether it is over its limit. */
static __always_inline bool sketch_over(void *map, __u64 key, __u64 secret, __u32 limit, __u32 tick)
{
	__u32 hash = mix(key, secret);
	__u32 index = hash & (RATE_LINES - 1);
	struct answer_line *line = bpf_map_lookup_elem(map, &index);

	return line && line_over(line, answer_count(line, hash, tick), limit, tick);
}

static __always_inline bool service_over(const struct packet *p, __u32 tick)
{
	__u32 key = swap16(p->destination_port);
	struct service_limit *service = bpf_map_lookup_elem(&service_limits, &key);

	return service && service->rate && cell_count(&service->cell, tick) > service->rate;
}

/* The limits that count by who sends. The network's is for the unproven: nobody who is verified pays for a neighbour. */
static __always_inline enum verdict source_over(const struct packet *p, const struct control *c, __u64 now_ns)
{
	struct verified *v = verified_known(p, c, now_ns);
	__u32 tick = now_ns >> TICK_SHIFT;

	if (v) {
		if (limit_source && !bucket_take(&v->limit_filled, &v->limit_tokens, now_ns, limit_rate, limit_burst))
			return over_source;
		return WITHIN;
	}
	if (limit_source && sketch_over(&rates_source, verified_key(p), c->flow_key.k0, limit_source, tick))
		return over_source;
	if (limit_network && sketch_over(&rates_network, source_network(p), c->flow_key.k1, limit_network, tick))
		return over_prefix;
	return WITHIN;
}

static __always_inline struct held *held_find(__u64 address, __u32 kind, __u32 tick)
{
	struct held_key key = {.address = address, .kind = kind};
	struct held *entry = bpf_map_lookup_elem(&held, &key);

	return entry && (__s32)(entry->until - tick) > 0 ? entry : NULL;
}

/* A source or network that user space holds back for a time. */
static __always_inline enum verdict held_back(const struct packet *p, const struct control *c, __u64 now_ns)
{
	__u32 tick = now_ns >> TICK_SHIFT;
	struct held *entry = held_find(verified_key(p), p->v6 ? HELD_SOURCE6 : HELD_SOURCE4, tick);

	if (!entry)
		entry = held_find(source_network(p), p->v6 ? HELD_NETWORK6 : HELD_NETWORK4, tick);
	if (!entry)
		return WITHIN;
	if (entry->why == HELD_CONNECTIONS)
		return over_connections;
	if (verified_known(p, c, now_ns) || cell_count(&entry->cell, tick) <= entry->rate)
		return WITHIN;
	return concentrated;
}

__own_frame enum verdict any_over(const struct packet *p, const struct control *c, struct limiter *l)
{
	enum verdict over = WITHIN;
	__u64 now_ns = bpf_ktime_get_coarse_ns();
	__u32 tick = now_ns >> TICK_SHIFT;

	if (l->held)
		over = held_back(p, c, now_ns);
	if (over == WITHIN && (limit_source || limit_network))
		over = source_over(p, c, now_ns);
	if (over == WITHIN && limit_services && service_over(p, tick))
		over = over_service;
	if (over == WITHIN && limit_global && cell_count(&l->global_cell, tick) > limit_global)
		over = over_global;
	return over;
}

/* What a SYN to a listener is over; WITHIN if nothing. */
static __always_inline enum verdict over_limit(const struct packet *p, const struct control *c)
{
	struct limiter *l = limiter_of();

	if (!l)
		return WITHIN;
	if (!limit_source && !limit_network && !limit_global && !limit_services && likely(!l->held))
		return WITHIN;
	return any_over(p, c, l);
}

/* Whether a verdict of over_limit() ends the SYN's journey. */
static __always_inline bool over_drops(enum verdict over)
{
	return over != WITHIN && (limit_over == OVER_DROP || over == over_connections || over == concentrated);
}

__own_frame int spread_take(const struct packet *p, const struct control *c, struct spread *s)
{
	__u64 source = verified_key(p), network = source_network(p);
	__u32 of_source = mix(source, c->flow_key.k0), of_network = mix(network, c->flow_key.k1);

	s->samples++;
	spread_register(s->registers, of_source);
	spread_vote(&s->source[of_source >> 10 & (SPREAD_CELLS - 1)], source, p->v6);
	spread_vote(&s->network[of_network >> 10 & (SPREAD_CELLS - 1)], network, p->v6);
	return 0;
}

/* Takes one SYN of so many into the account of how a flood is spread. */
static __always_inline void spread_sample(const struct packet *p, const struct control *c)
{
	__u32 zero = 0;
	struct spread *s = bpf_map_lookup_elem(&spread, &zero);

	if (s && s->asked++ % SPREAD_SAMPLE == 0)
		spread_take(p, c, s);
}

/* Whether a segment that belongs to no socket is one too many: for an address of this host, which would answer it by RST. What is
 * forwarded, translated or tunnelled has another address, and is none of ours. */
__own_frame bool too_many_resets(const struct packet *p, struct limiter *l)
{
	struct address address = {};

	if (!l->closed_budget)
		return false;
	for (int i = 0; i < 4; i++)
		address.word[i] = p->v6 || i == 0 ? p->destination[i] : 0;
	if (!bpf_map_lookup_elem(&local_addresses, &address))
		return false;
	return cell_count(&l->closed_cell, bpf_ktime_get_coarse_ns() >> TICK_SHIFT) > l->closed_budget;
}

/* A segment without a socket: `passes`, or one too many. */
static __always_inline enum verdict without_socket(const struct packet *p, enum verdict passes, enum verdict drops)
{
	struct limiter *l = limiter_of();

	return l && too_many_resets(p, l) ? drops : passes;
}
