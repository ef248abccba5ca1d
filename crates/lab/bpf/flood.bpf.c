/* The flood: makes one spoofed TCP segment of the frame it is given and sends it out of the device it "came in" on.
 *
 * User space runs it with BPF_PROG_TEST_RUN and BPF_F_TEST_XDP_LIVE_FRAMES: the kernel then takes frames from a page pool, runs
 * the program on each and really transmits what it returns XDP_TX for. (It is also attached to the loopback of a namespace where
 * nothing happens, and passes everything there; crates/lab/src/flood/gun.rs says why.)
 *
 * How to read it: `shape` says what every frame has in common. User space also sums up the constant part of both checksums
 * beforehand, so that a frame costs a copy, three pseudo-random words and a few additions. The frames of a page pool come round
 * again with whatever the receiver left in them, so every byte is written each time.
 */
#include "kernel.h"

#define ETH_SIZE 14
#define IP4_SIZE 20
#define IP6_SIZE 40
#define TCP_SIZE 20
#define CLOCK_LOOKS 100
#define LOOPBACK 1 /* the index of lo in every namespace */

/* Offsets within the frame's headers that change from frame to frame. */
#define IP4_ID 4
#define IP4_CHECK 10
#define IP4_SOURCE 12
#define IP6_SOURCE 8
#define TCP_PORT 0
#define TCP_TO_PORT 2
#define TCP_SEQUENCE 4
#define TCP_ACKNOWLEDGEMENT 8
#define TCP_CHECK 16

/* What all frames of one flood have in common. crates/lab/src/flood/shape.rs fills it in. */
struct shape {
	__u16 ethernet[8];	/* 14 bytes used */
	__u32 ip[10];		/* 20 or 40 bytes used; source, identification and checksum are zero */
	__u32 tcp[5];		/* source port, numbers and checksum are zero */
	__u32 options[5];	/* 0, 12 or 20 bytes used; the timestamps are zero */
	__u32 ip_sum;		/* sum of `ip` in 16-bit words as they lie in memory (IPv4) */
	__u32 tcp_sum;		/* the same of the pseudo header without the source, of `tcp` and of `options` */
	__u32 options_size;	/* 0, 12 or 20 */
	__u32 echo;		/* 1: the echoed timestamp is random too */
	__u32 acknowledge;	/* 1: the acknowledgement number is random */
	__u32 v6;		/* 1: IPv6 */
	__u32 twice;		/* 1: each frame is sent twice in a row */
	__u32 other_port;	/* half of the frames go to this port, in network order; 0: none */
	__u32 sources;		/* entries used in the map `sources`; 0: base and mask below */
	__u32 source_base[4];	/* network byte order */
	__u32 source_random[4]; /* the bits that vary */
};

const volatile struct shape shape = {};

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
	if (shape.sources) {
		__u32 index = (__u32)random % shape.sources;
		struct source *listed = bpf_map_lookup_elem(&sources, &index);
		if (listed)
			*source = *listed;
		return;
	}
	source->word[0] = shape.source_base[0] | ((__u32)random & shape.source_random[0]);
	source->word[1] = shape.source_base[1] | ((__u32)(random >> 32) & shape.source_random[1]);
	source->word[2] = shape.source_base[2] | ((__u32)more & shape.source_random[2]);
	source->word[3] = shape.source_base[3] | ((__u32)(more >> 32) & shape.source_random[3]);
}

/* Writes the options and returns the sum of the timestamps. */
static __always_inline __u32 put_options(__u8 *at, __u64 random)
{
	__u32 size = shape.options_size;
	__u32 value = random;
	__u32 echo = shape.echo ? (__u32)(random >> 32) : 0;

	if (size == 12) {
		put_words(at, shape.options, 3);
		put32(at + 4, value);
		put32(at + 8, echo);
		return sum32(value) + sum32(echo);
	}
	if (size == 20) {
		put_words(at, shape.options, 5);
		put32(at + 8, value);
		put32(at + 12, echo);
		return sum32(value) + sum32(echo);
	}
	return 0;
}

/* Writes the TCP header. `sum` is the sum of the source address. */
static __always_inline void put_tcp(__u8 *tcp, __u32 sum, __u64 numbers, __u64 timestamps, __u16 port)
{
	__u32 sequence = numbers;
	__u32 acknowledgement = shape.acknowledge ? (__u32)(numbers >> 32) : 0;

	put_words(tcp, shape.tcp, 5);
	sum += shape.tcp_sum + port + sum32(sequence) + sum32(acknowledgement);
	sum += put_options(tcp + TCP_SIZE, timestamps);
	put16(tcp + TCP_PORT, port);
	if (shape.other_port && (sequence & 1)) {
		__u16 usual = *(__u16 *)(tcp + TCP_TO_PORT);
		put16(tcp + TCP_TO_PORT, shape.other_port);
		/* Takes the usual port off the sum and adds the other (RFC 1624). */
		sum += shape.other_port + (__u16)~usual;
	}
	put32(tcp + TCP_SEQUENCE, sequence);
	put32(tcp + TCP_ACKNOWLEDGEMENT, acknowledgement);
	put16(tcp + TCP_CHECK, fold(sum));
}

SEC("xdp")
int flood(struct xdp_md *ctx)
{
	__u8 *frame = (void *)(long)ctx->data;
	__u8 *end = (void *)(long)ctx->data_end;
	__u32 ip_size = shape.v6 ? IP6_SIZE : IP4_SIZE;
	struct source source = {};
	__u32 sum = 0;

	if (ctx->ingress_ifindex == LOOPBACK)
		return XDP_PASS;
	/* The second of a pair is made from the first one's seed. */
	if (!(shape.twice && (sent & 1)))
		seed += 0x9e3779b97f4a7c15ULL;
	__u64 a = mix(seed);
	__u64 b = mix(a ^ 0x5851f42d4c957f2dULL);
	__u64 c = mix(b ^ seed);

	if (frame + ETH_SIZE + ip_size + TCP_SIZE + shape.options_size > end)
		return XDP_DROP;
	keep_distance();
	choose_source(a, b, &source);
#pragma unroll
	for (int i = 0; i < ETH_SIZE / 2; i++)
		put16(frame + 2 * i, shape.ethernet[i]);
	__u8 *ip = frame + ETH_SIZE;
	/* The ephemeral ports of Linux and of most systems lie in the upper half. */
	__u16 port = (__u16)(c >> 48) | 0x80;
	if (shape.v6) {
		put_words(ip, shape.ip, 10);
		put_words(ip + IP6_SOURCE, source.word, 4);
		sum = sum32(source.word[0]) + sum32(source.word[1]) + sum32(source.word[2]) + sum32(source.word[3]);
	} else {
		__u16 id = (__u16)(c >> 32);
		put_words(ip, shape.ip, 5);
		put32(ip + IP4_SOURCE, source.word[0]);
		sum = sum32(source.word[0]);
		put16(ip + IP4_ID, id);
		put16(ip + IP4_CHECK, fold(shape.ip_sum + sum + id));
	}
	put_tcp(ip + ip_size, sum, b ^ (c << 32), c ^ (a >> 7), port);
	sent++;
	return XDP_TX;
}

char _license[] SEC("license") = "Dual MIT/GPL";
