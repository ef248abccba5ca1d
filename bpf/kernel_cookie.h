/* The kernel's own SYN cookie, made and checked from the programs (bpf_tcp_gen_syncookie and bpf_tcp_check_syncookie,
 * Linux 5.3).
 *
 * Both helpers take an IP and a TCP header, of which they read addresses, ports, numbers, flags and the MSS option
 * only. So they get small ones of our own with just that, of constant length, whatever options the packet has.
 */
#pragma once

#include "kernel.h"
#include "packet.h"

struct small_tcp {
	struct tcp_header tcp;
	__u8 kind;
	__u8 len;
	__u16 mss;
};

struct small_headers {
	union {
		struct ipv4_header v4;
		struct ipv6_header v6;
	};
	struct small_tcp tcp;
};

static __always_inline void small_headers(struct small_headers *h, const struct packet *p)
{
	__builtin_memset(h, 0, sizeof(*h));
	if (p->v6) {
		h->v6.version_class_flow = 0x60;
		h->v6.next = NEXT_TCP;
		for (int i = 0; i < 4; i++) {
			h->v6.source[i] = p->source[i];
			h->v6.destination[i] = p->destination[i];
		}
	} else {
		h->v4.version_ihl = 0x45;
		h->v4.protocol = NEXT_TCP;
		h->v4.source = p->source[0];
		h->v4.destination = p->destination[0];
	}
	h->tcp.tcp.source_port = p->source_port;
	h->tcp.tcp.destination_port = p->destination_port;
	h->tcp.tcp.sequence = swap32(p->sequence);
	h->tcp.tcp.acknowledgement = swap32(p->acknowledgement);
	h->tcp.tcp.flags = p->flags;
}

/* The cookie for a SYN to a listener whose queue is full; below 0 where the kernel makes none. */
static __always_inline __s64 kernel_cookie_make(struct bpf_sock *sk, const struct packet *p, __u16 mss)
{
	struct small_headers h;
	__s64 made;

	small_headers(&h, p);
	h.tcp.tcp.data_offset = (TCP_LEN + 4) / 4 << 4;
	/* The helper insists on a plain SYN: RFC 3168's flags are not part of the cookie. */
	h.tcp.tcp.flags = TCP_SYN;
	h.tcp.kind = 2;
	h.tcp.len = 4;
	h.tcp.mss = swap16(mss ? mss : (p->v6 ? 1220 : 536));
	if (p->v6)
		made = bpf_tcp_gen_syncookie(sk, &h.v6, IPV6_LEN, (void *)&h.tcp, TCP_LEN + 4);
	else
		made = bpf_tcp_gen_syncookie(sk, &h.v4, IPV4_LEN, (void *)&h.tcp, TCP_LEN + 4);
	return made < 0 ? -1 : (made & 0xffffffff);
}

static __always_inline bool kernel_cookie_check(struct bpf_sock *sk, const struct packet *p)
{
	struct small_headers h;

	small_headers(&h, p);
	h.tcp.tcp.data_offset = TCP_LEN / 4 << 4;
	h.tcp.tcp.flags = TCP_ACK;
	if (p->v6)
		return bpf_tcp_check_syncookie(sk, &h.v6, IPV6_LEN, (void *)&h.tcp, TCP_LEN) == 0;
	return bpf_tcp_check_syncookie(sk, &h.v4, IPV4_LEN, (void *)&h.tcp, TCP_LEN) == 0;
}
