/* Pure. The SYN-ACK, written over the SYN it answers: the addresses and ports change places, everything else is made
 * anew.
 *
 * All checksums are sums of values that are at hand already, so nothing is read back. The answer has no IP options or
 * extension headers, so it is never longer than the SYN by more than the options that RFC 9293 asks for.
 */
#pragma once

#include "cookie.h"

/* One answer, as values. */
struct answer {
	__u32 sequence;
	__u32 acknowledgement;
	__u16 window;
	__u8 flags;
	__u8 words; /* of options */
	__u32 option[5];
	__u8 ttl;
};

/* The options of a cookie's SYN-ACK, in Linux's order. `mss` is ours; `scale` our own window scale. */
static __always_inline void answer_options(struct answer *a, const struct kept *k, const struct options *o, __u64 hash,
					   __u16 mss, __u8 scale)
{
	__u32 scale_word = 0x00030301 | (__u32)scale << 24;
	bool scaled = k->window_scale != NO_WINDOW_SCALE;

	a->option[0] = 0x0402 | (__u32)swap16(mss) << 16;
	if (k->timestamps) {
		a->option[1] = k->sack ? 0x0a080204 : 0x0a080101;
		a->option[2] = swap32(cookie_timestamp(hash, k));
		a->option[3] = swap32(o->timestamp);
		a->option[4] = scale_word;
		a->words = scaled ? 5 : 4;
	} else if (k->sack) {
		a->option[1] = 0x02040101;
		a->option[2] = scale_word;
		a->words = scaled ? 3 : 2;
	} else {
		a->option[1] = scale_word;
		a->words = scaled ? 2 : 1;
	}
}

static __always_inline __u32 answer_len(const struct packet *p, const struct answer *a)
{
	return p->network + (p->v6 ? IPV6_LEN : IPV4_LEN) + TCP_LEN + a->words * 4;
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline void write_ipv4(struct ipv4_header *ip, const struct packet *p, const struct answer *a)
{
	__u16 total = swap16(IPV4_LEN + TCP_LEN + a->words * 4);

	ip->version_ihl = 0x45;
	ip->tos = 0;
	ip->total_len = total;
	ip->id = 0;
	ip->fragment = swap16(0x4000); /* don't fragment, so the id may be zero (RFC 6864) */
	ip->ttl = a->ttl;
	ip->protocol = NEXT_TCP;
	ip->source = p->destination[0];
	ip->destination = p->source[0];
	ip->checksum = fold((__u64)0x0045 + total + swap16(0x4000) + (NEXT_TCP << 8 | a->ttl) + p->source[0] +
			    p->destination[0]);
}

static __always_inline void write_ipv6(struct ipv6_header *ip, const struct packet *p, const struct answer *a)
{
	ip->version_class_flow = 0x60;
	ip->payload_len = swap16(TCP_LEN + a->words * 4);
	ip->next = NEXT_TCP;
	ip->hop_limit = a->ttl;
	for (int i = 0; i < 4; i++) {
		ip->source[i] = p->destination[i];
		ip->destination[i] = p->source[i];
	}
}

/* The sum of what TCP's checksum covers besides the header: the pseudo header. */
static __always_inline __u64 sum_pseudo(const struct packet *p, __u32 length)
{
	__u64 sum = (__u64)swap16(NEXT_TCP) + swap16(length) + p->source[0] + p->destination[0];

	if (p->v6) {
		for (int i = 1; i < 4; i++)
			sum += (__u64)p->source[i] + p->destination[i];
	}
	return sum;
}

/* `options` has room for a->words words. */
static __always_inline void write_tcp(struct tcp_header *tcp, const struct packet *p, const struct answer *a)
{
	__u32 sequence = swap32(a->sequence);
	__u32 acknowledgement = swap32(a->acknowledgement);
	__u32 length = TCP_LEN + a->words * 4;
	__u8 data_offset = (length / 4) << 4;
	__u16 window = swap16(a->window);
	__u64 sum = sum_pseudo(p, length);

	tcp->source_port = p->destination_port;
	tcp->destination_port = p->source_port;
	tcp->sequence = sequence;
	tcp->acknowledgement = acknowledgement;
	tcp->data_offset = data_offset;
	tcp->flags = a->flags;
	tcp->window = window;
	tcp->urgent = 0;
	sum += (__u64)p->source_port + p->destination_port + sequence + acknowledgement;
	sum += (__u64)((__u32)window << 16 | (__u32)a->flags << 8 | data_offset);
	for (int i = 0; i < 5; i++) {
		if (i >= a->words)
			break;
		sum += a->option[i];
	}
	tcp->checksum = fold(sum);
}

/* Writes the options; false where the frame has no room for them (it was resized to have it). */
static __always_inline bool write_options(__u32 *to, void *data_end, const struct answer *a)
{
	for (int i = 0; i < 5; i++) {
		if (i >= a->words)
			break;
		if ((void *)(to + i + 1) > data_end)
			return false;
		to[i] = a->option[i];
	}
	return true;
}

static __always_inline void swap_hardware_addresses(__u16 *ethernet)
{
	for (int i = 0; i < 3; i++) {
		__u16 half = ethernet[i];

		ethernet[i] = ethernet[i + 3];
		ethernet[i + 3] = half;
	}
}

/* Writes the whole answer into a frame of answer_len() bytes. VLAN tags stay as they are. False: the frame is too
 * short. */
static __always_inline bool answer_write(void *data, void *data_end, const struct packet *p, const struct answer *a)
{
	void *network = data + (p->network & 0x1f);

	if (data + ETHERNET_LEN > data_end)
		return false;
	if (p->v6) {
		struct ipv6_header *ip = network;
		struct tcp_header *tcp = network + IPV6_LEN;

		if ((void *)(tcp + 1) > data_end)
			return false;
		write_ipv6(ip, p, a);
		write_tcp(tcp, p, a);
		if (!write_options((__u32 *)(tcp + 1), data_end, a))
			return false;
	} else {
		struct ipv4_header *ip = network;
		struct tcp_header *tcp = network + IPV4_LEN;

		if ((void *)(tcp + 1) > data_end)
			return false;
		write_ipv4(ip, p, a);
		write_tcp(tcp, p, a);
		if (!write_options((__u32 *)(tcp + 1), data_end, a))
			return false;
	}
	swap_hardware_addresses(data);
	return true;
}
