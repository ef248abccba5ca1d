/* watch: learns from connections that the kernel completed, whoever made the handshake. A sock_ops program: it runs
 * once for each accepted connection, never for a packet of a flood.
 *
 * Two things are learnt: the source is verified; and who sends the first data on that port, from the first few hundred
 * connections, from what was received when the first data sent is acknowledged.
 */
#include "kernel.h"
#include "config.h"
#include "verified.h"

/* Connections of a port that are watched for their first data. */
#define SPEAKER_SAMPLES 256

#define FAMILY_IPV4 2
#define FAMILY_IPV6 10

/* A connection within this host proves nothing about the road. */
static __always_inline bool is_loopback(struct bpf_sock_ops *ops)
{
	if (ops->family == FAMILY_IPV4)
		return (ops->remote_ip4 & 0xff) == 127;
	return ops->remote_ip6[0] == 0 && ops->remote_ip6[1] == 0 && ops->remote_ip6[2] == 0;
}

/* A dual-stack listener's IPv4 clients have mapped addresses (::ffff:a.b.c.d). */
static __always_inline bool is_mapped(struct bpf_sock_ops *ops)
{
	return ops->remote_ip6[0] == 0 && ops->remote_ip6[1] == 0 && ops->remote_ip6[2] == swap32(0xffff);
}

static __always_inline void remember(void *map, const void *key, __u64 source)
{
	__u64 now_ns = bpf_ktime_get_coarse_ns();
	__u32 tick = now_ns >> TICK_SHIFT;
	struct control *c = control_of();
	__u8 *cell = c ? seen_cell(c, source) : NULL;
	struct verified *known = bpf_map_lookup_elem(map, key);

	if (cell)
		*cell = seen_value(tick);
	if (c)
		leave_trace(c, source, tick);
	if (known) {
		known->seen = tick;
		if (known->handshakes != 0xffffffff)
			known->handshakes++;
		return;
	}
	struct verified fresh = {
		.seen = tick,
		.filled = now_ns >> RATE_SHIFT,
		.tokens = verified_burst,
		.handshakes = 1,
		.limit_filled = now_ns >> RATE_SHIFT,
		.limit_tokens = limit_burst,
	};

	bpf_map_update_elem(map, key, &fresh, BPF_ANY);
}

static __always_inline void remember_source(struct bpf_sock_ops *ops)
{
	if (ops->family == FAMILY_IPV4) {
		__u32 key = ops->remote_ip4;

		remember(&verified4, &key, key);
	} else if (ops->family == FAMILY_IPV6 && is_mapped(ops)) {
		__u32 key = ops->remote_ip6[3];

		barrier_var(key);
		remember(&verified4, &key, key);
	} else if (ops->family == FAMILY_IPV6) {
		__u64 key = ((__u64)ops->remote_ip6[1] << 32 | ops->remote_ip6[0]) & verified6_mask;

		remember(&verified6, &key, key);
	}
}

static __always_inline struct speaker *speaker_of(struct bpf_sock_ops *ops)
{
	__u32 port = ops->local_port & 0xffff;

	return bpf_map_lookup_elem(&speakers, &port);
}

/* Asks to be told of round trips on this connection, if its port is not known well enough yet. */
static __always_inline void watch_first_data(struct bpf_sock_ops *ops)
{
	struct speaker *s = speaker_of(ops);

	if (s && s->server + s->client < SPEAKER_SAMPLES)
		bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_RTT_CB_FLAG);
}

/* The first data that we sent is acknowledged; what came with the acknowledgement is not yet counted in bytes_received. So nothing
 * received by now means that the server spoke first, even where the client's reply carries the acknowledgement. (Headers would be
 * shown only on TCP's slow path, which most connections never take.) */
static __always_inline void first_data(struct bpf_sock_ops *ops)
{
	struct speaker *s = speaker_of(ops);

	if (!s || ops->data_segs_out == 0)
		return;
	if (ops->bytes_received == 0)
		s->server++;
	else
		s->client++;
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags & ~BPF_SOCK_OPS_RTT_CB_FLAG);
}

SEC("sockops")
int watch(struct bpf_sock_ops *ops)
{
	if (netns_cookie && bpf_get_netns_cookie(ops) != netns_cookie)
		return 1;
	switch (ops->op) {
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		if (!is_loopback(ops)) {
			remember_source(ops);
			watch_first_data(ops);
		}
		break;
	case BPF_SOCK_OPS_RTT_CB:
		first_data(ops);
		break;
	}
	return 1;
}

char license_text[] SEC("license") = "Dual MIT/GPL";
