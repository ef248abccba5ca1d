/* The flood: makes one spoofed frame of the one it is given and sends it out of the device it "came in" on.
 *
 * User space runs it with BPF_PROG_TEST_RUN and BPF_F_TEST_XDP_LIVE_FRAMES: the kernel then takes frames from a page pool, runs
 * the program on each and really transmits what it returns XDP_TX for. (It is also attached to the loopback of a namespace where
 * nothing happens, and passes everything there; crates/lab/src/flood/gun.rs says why.)
 *
 * How to read it: `shot` says what every frame has in common, `forms` what it can look like: most floods have one form, others
 * choose among several at random for each frame. User space also sums up the constant part of both checksums beforehand, so that
 * a frame costs a copy, three pseudo-random words and a few additions. What belongs to no flood but others costs nothing: the
 * kernel knows all of `shot` and the first form when it loads the program, and leaves out what they make unreachable. The frames
 * of a page pool come round again with whatever the receiver left in them, so every byte is written each time.
 */
#include "kernel.h"

#define ETH_SIZE 14
#define IP4_SIZE 20
#define IP6_SIZE 40
#define TCP_SIZE 20
#define FORMS 32 /* a power of two */
#define OPTION_WORDS 6
#define CLOCK_LOOKS 100
#define LOOPBACK 1 /* the index of lo in every namespace */

/* Offsets within the frame's headers that change from frame to frame. */
#define IP4_ID 4
#define IP4_CHECK 10
#define IP4_SOURCE 12
#define IP4_TARGET 16
#define IP6_SOURCE 8
#define IP6_TARGET_END 36 /* the last four bytes of the target */
#define TCP_PORT 0
#define TCP_TO_PORT 2
#define TCP_SEQUENCE 4
#define TCP_ACKNOWLEDGEMENT 8
#define TCP_CHECK 16

/* What all frames of one flood have in common. crates/lab/src/flood/shape.rs fills it and the forms in. */
struct shot {
	__u16 ethernet[8];	/* 14 bytes used */
	__u32 v6;		/* 1: IPv6 */
	__u32 twice;		/* 1: each frame is sent twice in a row */
	__u32 other_port;	/* half of the segments go to this port, in network order; 0: none */
	__u32 sources;		/* entries used in the map `sources`; 0: base and mask below */
	__u32 source_base[4];	/* network byte order */
	__u32 source_random[4]; /* the bits that vary */
	__u32 forms;		/* entries used in `forms` */
	__u32 room;		/* bytes of the frame that is given: of the one form, or with room for every form */
};

/* What a frame looks like. What varies is zero in it, or as `carpet_` says. */
struct form {
	__u32 ip[10];		     /* 20 or 40 bytes used; source, identification and checksum are zero */
	__u32 tcp[5];		     /* source port, numbers and checksum are zero */
	__u32 options[OPTION_WORDS]; /* the timestamps are zero */
	__u32 ip_sum;		     /* sum of `ip` in 16-bit words as they lie in memory (IPv4) */
	__u32 tcp_sum;		     /* the same of the pseudo header without the source, of `tcp` and of `options` */
	__u32 size;		     /* of the whole frame in bytes */
	__u32 options_size;	     /* bytes used of `options`, a multiple of 4 */
	__u32 stamps;		     /* the word of `options` where the timestamps are, 1 to 3; 0: there are none */
	__u32 echo;		     /* the bits of the echoed timestamp that vary */
	__u32 acknowledge;	     /* the bits of the acknowledgement number that vary */
	__u32 carpet_address;	     /* the bits that vary of the target's last four bytes, network order */
	__u32 carpet_port;	     /* the bits that vary of the target's port, network order */
	__u32 opaque; /* 1: a piece of a segment, of which only the second word, a fragment's identification, varies */
};

const volatile struct shot shot = {};
const volatile struct form forms[FORMS] = {};

/* A flood runs on one thread, so its state needs no atomics. */
__u64 seed = 0;
__u64 sent = 0;
__u64 last_ns = 0;
__u64 gap_ns = 0; /* at least so long from frame to frame; 0: as fast as it goes. Set before each call */

struct source {
	__u32 word[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct source);
} sources SEC(".maps");

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014): one word in, one that looks random out. bpf_get_prandom_u32 would cost
 * 23 ns a call. */
static __always_inline __u64 mix(__u64 x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static __always_inline __u32 sum32(__u32 word)
{
	return (word & 0xffff) + (word >> 16);
}

/* Ones' complement: the result is in memory order, because the words were added in memory order (RFC 1071, section 2 B). */
static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Plain stores: through memcpy the compiler, which knows nothing of the frame's alignment, would write byte by byte. */
static __always_inline void put16(void *at, __u16 value)
{
	*(__u16 *)at = value;
}

static __always_inline void put32(void *at, __u32 value)
{
	*(__u32 *)at = value;
}

/* Copies constants word by word. They are read as volatile, or the compiler would take them for the zeros of their initialiser. */
static __always_inline void put_words(void *at, const volatile __u32 *words, int count)
{
#pragma unroll
	for (int i = 0; i < count; i++)
		put32(at + 4 * i, words[i]);
}

/* Lets `gap_ns` go by since the last frame. One look at the clock takes about 40 ns, so this waits for 4 us at most. */
static __always_inline void keep_distance(void)
{
	__u64 now = 0;

	if (!gap_ns)
		return;
	for (int looks = 0; looks < CLOCK_LOOKS; looks++) {
		now = bpf_ktime_get_ns();
		if (now - last_ns >= gap_ns)
			break;
	}
	last_ns = now;
}

static __always_inline void choose_source(__u64 random, __u64 more, struct source *source)
{
	if (shot.sources) {
		__u32 index = (__u32)random % shot.sources;
		struct source *listed = bpf_map_lookup_elem(&sources, &index);
		if (listed)
			*source = *listed;
		return;
	}
	source->word[0] = shot.source_base[0] | ((__u32)random & shot.source_random[0]);
	source->word[1] = shot.source_base[1] | ((__u32)(random >> 32) & shot.source_random[1]);
	source->word[2] = shot.source_base[2] | ((__u32)more & shot.source_random[2]);
	source->word[3] = shot.source_base[3] | ((__u32)(more >> 32) & shot.source_random[3]);
}

/* One of the forms, at random. */
static __always_inline const volatile struct form *choose_form(__u64 random)
{
	__u32 index = 0;

	if (shot.forms > 1)
		index = ((random >> 32) * shot.forms) >> 32;
	return &forms[index & (FORMS - 1)];
}

/* Writes the options and returns the sum of the timestamps. */
static __always_inline __u32 put_options(const volatile struct form *form, __u8 *at, __u8 *end, __u64 random)
{
	__u32 size = form->options_size;
	__u32 value = random;
	__u32 echo = (__u32)(random >> 32) & form->echo;
	__u32 stamps = form->stamps;

#pragma unroll
	for (__u32 i = 0; i < OPTION_WORDS; i++) {
		if (4 * i < size)
			put32(at + 4 * i, form->options[i]);
	}
	if (!stamps)
		return 0;
	at += 4 * (stamps & 3);
	if (at + 8 > end)
		return 0;
	put32(at, value);
	put32(at + 4, echo);
	return sum32(value) + sum32(echo);
}

/* Puts a word in the place of another and returns by how much the sum of all grows (RFC 1624). */
static __always_inline __u32 change32(void *at, __u32 from, __u32 to)
{
	put32(at, to);
	return sum32(to) + sum32(~from);
}

/* The target's port, which varies in some floods. Returns by how much the sum grows. */
static __always_inline __u32 put_to_port(const volatile struct form *form, __u8 *tcp, __u32 sequence, __u64 random)
{
	__u16 usual = *(__u16 *)(tcp + TCP_TO_PORT);
	__u16 port = usual;

	if (shot.other_port && (sequence & 1))
		port = shot.other_port;
	if (form->carpet_port)
		port ^= (__u16)(random >> 32) & form->carpet_port;
	put16(tcp + TCP_TO_PORT, port);
	return port + (__u16)~usual;
}

/* The target's address, of which in some floods a part varies. Returns by how much both sums grow. */
static __always_inline __u32 put_target(const volatile struct form *form, __u8 *ip, __u64 random)
{
	__u32 usual = shot.v6 ? form->ip[9] : form->ip[4];

	if (!form->carpet_address)
		return 0;
	return change32(ip + (shot.v6 ? IP6_TARGET_END : IP4_TARGET), usual,
			usual ^ ((__u32)random & form->carpet_address));
}

/* Writes the TCP header. `sum` is what the addresses add to the sum, `random` of interest where the target varies. */
static __always_inline void put_tcp(const volatile struct form *form, __u8 *tcp, __u8 *end, __u32 sum, __u64 numbers,
				    __u64 timestamps, __u16 port, __u64 random)
{
	__u32 sequence = numbers;
	__u32 acknowledgement = (__u32)(numbers >> 32) & form->acknowledge;

	put_words(tcp, form->tcp, 5);
	sum += form->tcp_sum + port + sum32(sequence) + sum32(acknowledgement);
	sum += put_options(form, tcp + TCP_SIZE, end, timestamps);
	put32(tcp + TCP_SEQUENCE, sequence);
	if (form->opaque)
		return;
	if (shot.other_port || form->carpet_port)
		sum += put_to_port(form, tcp, sequence, random);
	put16(tcp + TCP_PORT, port);
	put32(tcp + TCP_ACKNOWLEDGEMENT, acknowledgement);
	put16(tcp + TCP_CHECK, fold(sum));
}

SEC("xdp")
int flood(struct xdp_md *ctx)
{
	__u8 *frame = (void *)(long)ctx->data;
	__u8 *end = (void *)(long)ctx->data_end;
	__u32 ip_size = shot.v6 ? IP6_SIZE : IP4_SIZE;
	struct source source = {};
	__u32 sum = 0;

	if (ctx->ingress_ifindex == LOOPBACK)
		return XDP_PASS;
	/* The second of a pair is made from the first one's seed. */
	if (!(shot.twice && (sent & 1)))
		seed += 0x9e3779b97f4a7c15ULL;
	__u64 a = mix(seed);
	__u64 b = mix(a ^ 0x5851f42d4c957f2dULL);
	__u64 c = mix(b ^ seed);
	__u64 d = mix(c ^ a);

	if (frame + shot.room > end)
		return XDP_DROP;
	keep_distance();
	choose_source(a, b, &source);
	const volatile struct form *form = choose_form(d);
#pragma unroll
	for (int i = 0; i < ETH_SIZE / 2; i++)
		put16(frame + 2 * i, shot.ethernet[i]);
	__u8 *ip = frame + ETH_SIZE;
	/* The ephemeral ports of Linux and of most systems lie in the upper half. */
	__u16 port = (__u16)(c >> 48) | 0x80;
	if (shot.v6) {
		put_words(ip, form->ip, 10);
		put_words(ip + IP6_SOURCE, source.word, 4);
		sum = sum32(source.word[0]) + sum32(source.word[1]) + sum32(source.word[2]) + sum32(source.word[3]);
		sum += put_target(form, ip, d);
	} else {
		__u16 id = (__u16)(c >> 32);
		put_words(ip, form->ip, 5);
		put32(ip + IP4_SOURCE, source.word[0]);
		sum = sum32(source.word[0]) + put_target(form, ip, d);
		put16(ip + IP4_ID, id);
		put16(ip + IP4_CHECK, fold(form->ip_sum + sum + id));
	}
	put_tcp(form, ip + ip_size, end, sum, b ^ (c << 32), c ^ (a >> 7), port, d);
	sent++;
	/* The frame has room for the largest form. The kernel gives it back its whole size before the next run. */
	if (shot.forms > 1 && bpf_xdp_adjust_tail(ctx, (int)form->size - (int)shot.room))
		return XDP_DROP;
	return XDP_TX;
}

char _license[] SEC("license") = "Dual MIT/GPL";
