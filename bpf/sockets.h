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
	bool mptcp;
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
	q->mptcp = bpf_core_field_exists(tcp->is_mptcp) ? tcp->is_mptcp : false;
	return true;
}
