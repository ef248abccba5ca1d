/* Pure. From bytes to values: the only code that reads a received frame.
 *
 * packet_parse() follows Ethernet, up to two VLAN tags, IPv4 with options or IPv6 with a bounded chain of extension
 * headers, to the TCP header, and checks every length against every other on the way. After it there are only values in
 * `struct packet`. packet_options() reads the TCP options, which only a SYN that is answered and an ACK that may carry
 * a cookie need.
 *
 * The contract: no byte outside [data, data_end) is read, whatever the bytes are.
 */
#pragma once

#include "types.h"

#define ETHERNET_LEN 14
#define VLAN_LEN 4
#define VLAN_TAGS 2
#define IPV4_LEN 20
#define IPV6_LEN 40
#define TCP_LEN 20
#define TCP_OPTIONS_LEN 40
#define IPV6_EXTENSIONS 4

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8

#define NEXT_HOP_BY_HOP 0
#define NEXT_TCP 6
#define NEXT_ROUTING 43
#define NEXT_FRAGMENT 44
#define NEXT_DESTINATION 60

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_URG 0x20
#define TCP_ECE 0x40
#define TCP_CWR 0x80

/* What a frame turned out to be. */
enum parsed {
	PARSED_TCP,
	PARSED_OTHER,
	PARSED_FRAGMENT,
	PARSED_MALFORMED,
};

/* A TCP segment as values. Addresses and ports are in network byte order, as the kernel's lookups want them; an IPv4
 * address is in the first word. Sequence numbers are in host order, because they are calculated with. */
struct packet {
	__u32 source[4];
	__u32 destination[4];
	__u16 source_port;
	__u16 destination_port;
	__u32 sequence;
	__u32 acknowledgement;
	__u16 network;	 /* offset of the IP header in the frame */
	__u16 transport; /* offset of the TCP header in the frame */
	__u8 options_len;
	__u8 flags;
	__u8 v6;
};

/* The options that a SYN cookie has to keep (RFC 9293 3.2, RFC 7323, RFC 2018). */
struct options {
	__u32 timestamp;      /* TSval, host order */
	__u32 timestamp_echo; /* TSecr, host order */
	__u16 mss;	      /* 0: not given */
	__u8 window_scale;    /* NO_WINDOW_SCALE: not given */
	__u8 sack;
	__u8 timestamps;
	__u8 reserved[3];
};

#define NO_WINDOW_SCALE 15
#define MAX_WINDOW_SCALE 14

struct ipv4_header {
	__u8 version_ihl;
	__u8 tos;
	__u16 total_len;
	__u16 id;
	__u16 fragment;
	__u8 ttl;
	__u8 protocol;
	__u16 checksum;
	__u32 source;
	__u32 destination;
};

struct ipv6_header {
	__u32 version_class_flow;
	__u16 payload_len;
	__u8 next;
	__u8 hop_limit;
	__u32 source[4];
	__u32 destination[4];
};

struct tcp_header {
	__u16 source_port;
	__u16 destination_port;
	__u32 sequence;
	__u32 acknowledgement;
	__u8 data_offset; /* in its upper four bits, in words of four bytes */
	__u8 flags;
	__u16 window;
	__u16 checksum;
	__u16 urgent;
};

_Static_assert(sizeof(struct ipv4_header) == IPV4_LEN, "RFC 791");
_Static_assert(sizeof(struct ipv6_header) == IPV6_LEN, "RFC 8200");
_Static_assert(sizeof(struct tcp_header) == TCP_LEN, "RFC 9293");

/* The EtherType behind the VLAN tags, in host order; 0 where the frame ends first. `network` becomes the next header's
 * offset. */
static __always_inline __u16 ethertype(void *data, void *data_end, __u16 *network)
{
	__u8 *at = data;

	if (at + ETHERNET_LEN > (__u8 *)data_end)
		return 0;
	__u16 type = swap16(*(__u16 *)(at + 12));
	*network = ETHERNET_LEN;
	for (int tag = 0; tag < VLAN_TAGS; tag++) {
		if (likely(type != ETHERTYPE_VLAN && type != ETHERTYPE_QINQ))
			break;
		at += VLAN_LEN;
		if (at + ETHERNET_LEN > (__u8 *)data_end)
			return 0;
		type = swap16(*(__u16 *)(at + 12));
		*network += VLAN_LEN;
	}
	return type;
}

/* The IPv4 header. `*length` becomes the bytes that belong to TCP. */
static __always_inline enum parsed parse_ipv4(struct ipv4_header *ip, void *data_end, struct packet *p, __u32 *length)
{
	if ((void *)(ip + 1) > data_end)
		return PARSED_OTHER;
	if (ip->protocol != NEXT_TCP || (ip->version_ihl >> 4) != 4)
		return PARSED_OTHER;
	/* More fragments, or an offset: without the first one there is no TCP header, and with it the rest is not here.
	 */
	if (ip->fragment & swap16(0x3fff))
		return PARSED_FRAGMENT;
	/* The usual length as a constant behind a branch: the processor then reads on, into the TCP header, without this byte. */
	__u32 header = IPV4_LEN;

	if (unlikely((ip->version_ihl & 15) * 4 != IPV4_LEN)) {
		header = (ip->version_ihl & 15) * 4;
		barrier_var(header);
	}
	__u32 total = swap16(ip->total_len);

	if (header < IPV4_LEN || total < header + TCP_LEN)
		return PARSED_MALFORMED;
	p->source[0] = ip->source;
	p->destination[0] = ip->destination;
	p->v6 = 0;
	p->transport = p->network + header;
	*length = total - header;
	return PARSED_TCP;
}

/* One extension header of IPv6: steps over it, or says what ends the chain. */
static __always_inline enum parsed skip_extension(void *data, void *data_end, __u8 *next, __u16 *offset)
{
	__u8 *at = data + (*offset & 0x3ff);

	if (at + 8 > (__u8 *)data_end)
		return PARSED_OTHER;
	/* A routing header with segments left: the destination address is not the final one (RFC 8200, 4.4). */
	if (*next == NEXT_ROUTING && at[3] != 0)
		return PARSED_OTHER;
	*next = at[0];
	*offset += ((__u16)at[1] + 1) * 8;
	return PARSED_TCP;
}

/* The IPv6 header and what stands between it and TCP. */
static __always_inline enum parsed parse_ipv6(struct ipv6_header *ip, void *data, void *data_end, struct packet *p,
					      __u32 *length)
{
	if ((void *)(ip + 1) > data_end)
		return PARSED_OTHER;
	if ((ip->version_class_flow & 0xf0) != 0x60)
		return PARSED_OTHER;
	__u8 next = ip->next;
	__u16 offset = p->network + IPV6_LEN;

	for (int i = 0; i < IPV6_EXTENSIONS; i++) {
		if (likely(next == NEXT_TCP))
			break;
		if (next == NEXT_FRAGMENT)
			return PARSED_FRAGMENT;
		if (next != NEXT_HOP_BY_HOP && next != NEXT_ROUTING && next != NEXT_DESTINATION)
			return PARSED_OTHER;
		if (offset > 0x3ff || skip_extension(data, data_end, &next, &offset) != PARSED_TCP)
			return PARSED_OTHER;
	}
	if (next != NEXT_TCP || offset > 0x3ff)
		return PARSED_OTHER;
	__u32 extensions = offset - p->network - IPV6_LEN;
	__u32 payload = swap16(ip->payload_len);

	if (payload < extensions + TCP_LEN)
		return PARSED_MALFORMED;
	for (int i = 0; i < 4; i++) {
		p->source[i] = ip->source[i];
		p->destination[i] = ip->destination[i];
	}
	p->v6 = 1;
	p->transport = offset;
	*length = payload - extensions;
	return PARSED_TCP;
}

/* Flags that no TCP sends: none at all, or SYN together with what ends a connection. */
static __always_inline bool flags_are_odd(__u8 flags)
{
	__u8 of_six = flags & 0x3f;

	return of_six == 0 || ((flags & TCP_SYN) && (flags & (TCP_FIN | TCP_RST)));
}

static __always_inline bool same_ends(const struct packet *p)
{
	if (p->source_port != p->destination_port || p->source[0] != p->destination[0])
		return false;
	return !p->v6 || (p->source[1] == p->destination[1] && p->source[2] == p->destination[2] &&
			  p->source[3] == p->destination[3]);
}

/* The TCP header; `length` bytes belong to TCP according to IP. */
static __always_inline enum parsed parse_tcp(void *data, void *data_end, struct packet *p, __u32 length)
{
	struct tcp_header *tcp = data + (p->transport & 0x7ff);

	if ((void *)(tcp + 1) > data_end)
		return PARSED_MALFORMED;
	__u32 header = (tcp->data_offset >> 4) * 4;

	if (header < TCP_LEN || header > length)
		return PARSED_MALFORMED;
	p->source_port = tcp->source_port;
	p->destination_port = tcp->destination_port;
	p->sequence = swap32(tcp->sequence);
	p->acknowledgement = swap32(tcp->acknowledgement);
	p->options_len = header - TCP_LEN;
	p->flags = tcp->flags;
	if (flags_are_odd(p->flags) || same_ends(p))
		return PARSED_MALFORMED;
	return PARSED_TCP;
}

static __always_inline enum parsed packet_parse(void *data, void *data_end, struct packet *p)
{
	__u16 type = ethertype(data, data_end, &p->network);
	__u32 length = 0;
	enum parsed parsed;

	if (type == ETHERTYPE_IPV4)
		parsed = parse_ipv4(data + p->network, data_end, p, &length);
	else if (type == ETHERTYPE_IPV6)
		parsed = parse_ipv6(data + p->network, data, data_end, p, &length);
	else
		return PARSED_OTHER;
	if (parsed != PARSED_TCP)
		return parsed;
	return parse_tcp(data, data_end, p, length);
}

/* One TCP option out of `bytes` (64 of them, so that a masked index needs no other check), `left` bytes before the list
 * ends. Returns its length, 0 at the end of the list or where a length is wrong: what was read until there counts, as
 * in the kernel. */
static __always_inline __u32 read_option(const __u8 *bytes, __u32 at, __u32 left, struct options *o)
{
	__u8 kind = bytes[at & 63];

	if (kind == 0)
		return 0;
	if (kind == 1)
		return 1;
	__u8 len = bytes[(at + 1) & 63];

	if (len < 2 || len > left)
		return 0;
	if (kind == 2 && len == 4) {
		o->mss = (__u16)bytes[(at + 2) & 63] << 8 | bytes[(at + 3) & 63];
	} else if (kind == 3 && len == 3) {
		__u8 scale = bytes[(at + 2) & 63];

		o->window_scale = scale > MAX_WINDOW_SCALE ? MAX_WINDOW_SCALE : scale;
	} else if (kind == 4 && len == 2) {
		o->sack = 1;
	} else if (kind == 8 && len == 10) {
		o->timestamps = 1;
		o->timestamp = (__u32)bytes[(at + 2) & 63] << 24 | (__u32)bytes[(at + 3) & 63] << 16 |
			       (__u32)bytes[(at + 4) & 63] << 8 | bytes[(at + 5) & 63];
		o->timestamp_echo = (__u32)bytes[(at + 6) & 63] << 24 | (__u32)bytes[(at + 7) & 63] << 16 |
				    (__u32)bytes[(at + 8) & 63] << 8 | bytes[(at + 9) & 63];
	}
	return len;
}

/* The bytes of the options, with zeros behind them, so that a masked index needs no other check. */
struct option_bytes {
	__u8 byte[64];
};

/* Any order, any padding. For the verifier's sake it is a function of its own, which is looked at once and not once for
 * each way that leads to it; and `at` is volatile: a byte that went through memory is any byte to it, so every turn of
 * the loop looks the same. */
__not_inlined int options_walk(const struct option_bytes *bytes, __u32 len, struct options *o)
{
	volatile __u8 at = 0;

	if (!bytes || !o)
		return 0;
	for (int i = 0; i < TCP_OPTIONS_LEN; i++) {
		__u32 here = at;

		if (here >= len)
			break;
		__u32 step = read_option(bytes->byte, here, len - here, o);

		if (step == 0)
			break;
		at = here + step;
	}
	return 0;
}

/* The layouts that nearly all clients send are read in a few instructions: Linux's SYN (MSS, SACK, timestamps, NOP,
 * window scale) and the timestamps alone of any segment after it. */
static __always_inline bool options_usual(const __u32 *words, void *data_end, __u32 len, struct options *o)
{
	if (len == 20 && (void *)(words + 5) <= data_end && (words[0] & 0xffff) == 0x0402 && words[1] == 0x0a080204 &&
	    (words[4] & 0xffffff) == 0x030301) {
		__u8 scale = words[4] >> 24;

		o->mss = swap16(words[0] >> 16);
		o->sack = 1;
		o->timestamps = 1;
		o->timestamp = swap32(words[2]);
		o->timestamp_echo = swap32(words[3]);
		o->window_scale = scale > MAX_WINDOW_SCALE ? MAX_WINDOW_SCALE : scale;
		return true;
	}
	if (len == 12 && (void *)(words + 3) <= data_end && words[0] == 0x0a080101) {
		o->timestamps = 1;
		o->timestamp = swap32(words[1]);
		o->timestamp_echo = swap32(words[2]);
		return true;
	}
	return false;
}

/* The options of a parsed packet. Where the frame ends before the header does, there are none. */
static __always_inline void packet_options(void *data, void *data_end, const struct packet *p, struct options *o)
{
	__u32 words[16] = {};
	__u32 *at = data + (p->transport & 0x7ff) + TCP_LEN;
	__u32 len = p->options_len;

	__builtin_memset(o, 0, sizeof(*o));
	o->window_scale = NO_WINDOW_SCALE;
	if (likely(options_usual(at, data_end, len, o)))
		return;
	for (__u32 i = 0; i < TCP_OPTIONS_LEN / 4; i++) {
		if (i * 4 >= len)
			break;
		if ((void *)(at + i + 1) > data_end)
			return;
		words[i] = at[i];
	}
	options_walk((const struct option_bytes *)words, len, o);
}
