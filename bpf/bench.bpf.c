/* bench: gate under BPF_PROG_TEST_RUN, which runs a program on one and the same frame again and again. gate changes its frame, so
 * this lays the frame anew before each run, with other addresses each time if asked; the floors below do the same and then as
 * little as there is to do, so that the difference is gate's own.
 *
 * Never attached to anything. crates/datapath/src/bench.rs is its user-space side; docs/operations/benchmarks.md says what is
 * measured.
 */
#include "gate.bpf.c"

#define BENCH_FRAME_MAX 128

struct bench_case {
	__u32 len;
	/* Bits of source address, source port and sequence number that change from run to run. */
	__u32 vary_address;
	__u32 vary_port;
	__u32 vary_sequence;
	/* How long gate's answer is: the floor of answering has the same length. */
	__u32 answer_len;
	/* 1: forget before each run that this source was asked, so that each of its SYNs is challenged. */
	__u32 forget;
	__u64 state;
	__u8 frame[BENCH_FRAME_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bench_case);
} bench_case SEC(".maps");

/* Knuth's generator: a multiplication and an addition. */
static __always_inline __u64 next(struct bench_case *b)
{
	b->state = b->state * 6364136223846793005ULL + 1442695040888963407ULL;
	return b->state >> 32;
}

/* The fields that vary, at the offsets of an untagged frame without IP options. */
static __always_inline void vary(struct bench_case *b)
{
	bool v6 = b->frame[12] == 0x86;
	__u32 random = next(b);
	__u32 *address = (__u32 *)(b->frame + (v6 ? ETHERNET_LEN + 12 : ETHERNET_LEN + 12));
	__u16 *port = (__u16 *)(b->frame + ETHERNET_LEN + (v6 ? IPV6_LEN : IPV4_LEN));
	__u32 *sequence = (__u32 *)(b->frame + ETHERNET_LEN + (v6 ? IPV6_LEN : IPV4_LEN) + 4);

	*address = (*address & ~b->vary_address) | (random & b->vary_address);
	*port = (*port & ~b->vary_port) | ((random >> 7) & b->vary_port);
	*sequence = (*sequence & ~b->vary_sequence) | (random & b->vary_sequence);
}

/* The price of this is in the floor too, which lays its frame in the same way. */
static __always_inline void forget_question(struct xdp_md *ctx)
{
	struct control *c = control_of();
	struct packet p;

	if (!c || packet_parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, &p) != PARSED_TCP)
		return;
	struct asked *cell = asked_cell(source_place(&p, c));

	if (cell)
		__builtin_memset(cell, 0, sizeof(*cell));
}

static __always_inline bool lay(struct xdp_md *ctx)
{
	__u32 key = 0;
	struct bench_case *b = bpf_map_lookup_elem(&bench_case, &key);
	long have = (void *)(long)ctx->data_end - (void *)(long)ctx->data;

	if (!b)
		return false;
	barrier_var(have);
	int grow = (int)b->len - (int)have;

	if (grow != 0 && bpf_xdp_adjust_tail(ctx, grow))
		return false;
	if (b->vary_address | b->vary_port | b->vary_sequence)
		vary(b);
	__u64 *to = (void *)(long)ctx->data;

	for (int i = 0; i < BENCH_FRAME_MAX / 8; i++) {
		if ((void *)(to + i + 1) > (void *)(long)ctx->data_end)
			break;
		to[i] = ((__u64 *)b->frame)[i];
	}
	if (b->forget)
		forget_question(ctx);
	return true;
}

SEC("xdp")
int bench_gate(struct xdp_md *ctx)
{
	return lay(ctx) ? checkpoint(ctx) : XDP_ABORTED;
}

/* The floor of whoever drops. */
SEC("xdp")
int bench_drop(struct xdp_md *ctx)
{
	return lay(ctx) ? XDP_DROP : XDP_ABORTED;
}

/* The floor of whoever answers: a frame of the answer's length, addresses swapped, sent back. */
SEC("xdp")
int bench_swap(struct xdp_md *ctx)
{
	__u32 key = 0;
	struct bench_case *b = bpf_map_lookup_elem(&bench_case, &key);

	if (!b || !lay(ctx))
		return XDP_ABORTED;
	int grow = (int)b->answer_len - (int)b->len;

	if (grow != 0 && bpf_xdp_adjust_tail(ctx, grow))
		return XDP_ABORTED;
	void *data = (void *)(long)ctx->data;

	if (data + ETHERNET_LEN > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	swap_hardware_addresses(data);
	return XDP_TX;
}

/* The floor of whoever knows sources: one hit in the table, and its entry read and written once. */
SEC("xdp")
int bench_table(struct xdp_md *ctx)
{
	if (!lay(ctx))
		return XDP_ABORTED;
	struct ipv4_header *ip = (void *)(long)ctx->data + ETHERNET_LEN;

	if ((void *)(ip + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	struct verified *v = verified_find(false, ip->source);

	if (!v)
		return XDP_DROP;
	v->tokens--;
	return XDP_PASS;
}

/* What gate does to know a source, alone: parse, and the lookup with its filter and its rate. */
SEC("xdp")
int bench_verified(struct xdp_md *ctx)
{
	struct control *c = control_of();
	struct packet p;

	if (!c || !lay(ctx))
		return XDP_ABORTED;
	if (packet_parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, &p) != PARSED_TCP)
		return XDP_ABORTED;
	return is_verified(&p, c, bpf_ktime_get_coarse_ns()) ? XDP_PASS : XDP_DROP;
}

/* What gate does for the lists, alone: parse, and how the source stands. */
SEC("xdp")
int bench_lists(struct xdp_md *ctx)
{
	struct packet p;

	if (!lay(ctx))
		return XDP_ABORTED;
	if (packet_parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, &p) != PARSED_TCP)
		return XDP_ABORTED;
	return standing(&p, true, allowed_rate, allowed_burst) == STANDING_BLOCKED ? XDP_DROP : XDP_PASS;
}

/* The kernel's own structure for prefixes, which the lists are compared with. */
struct lpm_key {
	__u32 length;
	__u32 address;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 21);
	__type(key, struct lpm_key);
	__type(value, __u64);
} lpm SEC(".maps");

SEC("xdp")
int bench_lpm(struct xdp_md *ctx)
{
	struct packet p;

	if (!lay(ctx))
		return XDP_ABORTED;
	if (packet_parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, &p) != PARSED_TCP)
		return XDP_ABORTED;
	struct lpm_key key = {.length = 32, .address = p.source[0]};
	__u64 *hits = bpf_map_lookup_elem(&lpm, &key);

	if (!hits)
		return XDP_PASS;
	*hits += 1;
	return XDP_DROP;
}
