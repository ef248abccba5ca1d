/* Sockets as the programs see them: which one a packet is for, and how full a listener's queues are.
 *
 * The kernel's own lookup is asked, so wildcard, specific, dual-stack and SO_REUSEPORT listeners are found as the
 * kernel will find them a microsecond later. It looks in the network namespace of the interface.
 */
#pragma once

#include "kernel.h"
#include "packet.h"

/* The socket a packet is for: a connection first, then a listener. Give it back with bpf_sk_release(). */
static __always_inline struct bpf_sock *socket_of(void *ctx, const struct packet *p)
{
	struct bpf_sock_tuple tuple = {};

	if (p->v6) {
		for (int i = 0; i < 4; i++) {
			tuple.ipv6.saddr[i] = p->source[i];
			tuple.ipv6.daddr[i] = p->destination[i];
		}
		tuple.ipv6.sport = p->source_port;
		tuple.ipv6.dport = p->destination_port;
		return bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	tuple.ipv4.saddr = p->source[0];
	tuple.ipv4.daddr = p->destination[0];
	tuple.ipv4.sport = p->source_port;
	tuple.ipv4.dport = p->destination_port;
	return bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
}

/* What a listener says about itself. The SYN queue and the accept queue have the same bound: with
 * net.ipv4.tcp_syncookies=1 the kernel compares both with min(listen backlog, somaxconn), and not with
 * tcp_max_syn_backlog. */
struct queues {
	__u32 syn;
	__u32 accept;
	__u32 backlog;
	__u32 receive_buffer;
	/* The kernel makes and completes this listener's cookies: where admit cannot, as for MPTCP. */
	bool kernel_completes;
};

static __always_inline bool read_queues(struct bpf_sock *sk, struct queues *q)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

	if (!tcp)
		return false;
	struct sock *sock = (struct sock *)tcp;

	q->syn = tcp->inet_conn.icsk_accept_queue.qlen.counter;
	q->accept = sock->sk_ack_backlog;
	q->backlog = sock->sk_max_ack_backlog;
	q->receive_buffer = sock->sk_rcvbuf;
	/* Without CONFIG_MPTCP there is no such field. */
	q->kernel_completes = bpf_core_field_exists(tcp->is_mptcp) ? tcp->is_mptcp : false;
	return true;
}

/* ---- the last look ---- */

/* Under a flood each look for a listener finds the same one, a moment older. So what it said holds until the coarse clock moves on
 * (1 to 10 ms), for SYNs of sources that left no trace: those have no connection that could be found instead, and all they get is an
 * answer, which cannot fill the queue any further. docs/adr/0008-last-look.md says what this costs. */
struct look {
	__u64 at_ns; /* of the coarse clock */
	__u32 destination[4];
	__u32 device;
	__u16 port;
	__u8 v6;
	struct queues queues;
};

#define LOOKS 16 /* by the lower four bits of the port */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LOOKS);
	__type(key, __u32);
	__type(value, struct look);
} looks SEC(".maps");

static __always_inline struct look *look_of(const struct packet *p)
{
	__u32 index = swap16(p->destination_port) & (LOOKS - 1);

	return bpf_map_lookup_elem(&looks, &index);
}

static __always_inline void look_keep(const struct xdp_md *ctx, const struct packet *p, const struct queues *q,
				      __u64 now_ns)
{
	struct look *look = look_of(p);

	if (!look)
		return;
	for (int i = 0; i < 4; i++)
		look->destination[i] = p->v6 || i == 0 ? p->destination[i] : 0;
	look->device = ctx->ingress_ifindex;
	look->port = p->destination_port;
	look->v6 = p->v6;
	look->queues = *q;
	look->at_ns = now_ns;
}

/* What the listener that a SYN is for said in this moment of the clock; NULL where it was not looked at. */
static __always_inline const struct queues *look_again(const struct xdp_md *ctx, const struct packet *p, __u64 now_ns)
{
	const struct look *look = look_of(p);

	if (!look || look->at_ns != now_ns || look->device != ctx->ingress_ifindex)
		return NULL;
	if (look->port != p->destination_port || look->v6 != p->v6 || look->destination[0] != p->destination[0])
		return NULL;
	for (int i = 1; p->v6 && i < 4; i++) {
		if (look->destination[i] != p->destination[i])
			return NULL;
	}
	return &look->queues;
}
