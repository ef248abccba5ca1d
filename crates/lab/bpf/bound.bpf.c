/* The two bounds that `lab compare` sets beside the defences: what no defence in this place can do better.
 *
 * `bounce` sends a frame of the attackers back with its addresses swapped: the least that whoever answers a SYN has to do.
 * `oracle` knows the attackers' addresses and drops their frames: the least that anybody has to do. What comes from elsewhere
 * passes both, so that visitors meet the server itself.
 */
#include "kernel.h"
#include "prefix.h"

#define ETH_SIZE 14
#define ETHERTYPE_AT 12
#define IP4_END (ETH_SIZE + 20)
#define IP6_END (ETH_SIZE + 40)
#define IP4_SOURCE (ETH_SIZE + 12)
#define IP4_DESTINATION (ETH_SIZE + 16)
#define IP6_SOURCE (ETH_SIZE + 8)
#define IP6_DESTINATION (ETH_SIZE + 24)
#define TYPE_IP4 0x0008 /* in memory order on a little-endian machine */
#define TYPE_IP6 0xdd86

/* Where the flood comes from. */
const volatile struct prefix attackers4 = {};
const volatile struct prefix attackers6 = {};

enum origin {
	ELSEWHERE,
	ATTACKER4,
	ATTACKER6
};

static __always_inline enum origin origin_of(__u8 *frame, __u8 *end)
{
	__u32 source[2] = {};
	__u16 type;

	if (frame + IP4_END > end)
		return ELSEWHERE;
	__builtin_memcpy(&type, frame + ETHERTYPE_AT, sizeof(type));
	if (type == TYPE_IP4) {
		__builtin_memcpy(source, frame + IP4_SOURCE, 4);
		return within(source, &attackers4) ? ATTACKER4 : ELSEWHERE;
	}
	if (type != TYPE_IP6 || frame + IP6_END > end)
		return ELSEWHERE;
	__builtin_memcpy(source, frame + IP6_SOURCE, 8);
	return within(source, &attackers6) ? ATTACKER6 : ELSEWHERE;
}

/* Both checksums stay right, since they add up the same words in another order. */
static __always_inline void swap(__u8 *one, __u8 *other, int size)
{
#pragma unroll
	for (int at = 0; at < size; at += 2) {
		__u16 kept = *(__u16 *)(one + at);
		*(__u16 *)(one + at) = *(__u16 *)(other + at);
		*(__u16 *)(other + at) = kept;
	}
}

SEC("xdp")
int bounce(struct xdp_md *ctx)
{
	__u8 *frame = (void *)(long)ctx->data;
	__u8 *end = (void *)(long)ctx->data_end;

	switch (origin_of(frame, end)) {
	case ATTACKER4:
		if (frame + IP4_END > end)
			return XDP_PASS;
		swap(frame + IP4_SOURCE, frame + IP4_DESTINATION, 4);
		break;
	case ATTACKER6:
		if (frame + IP6_END > end)
			return XDP_PASS;
		swap(frame + IP6_SOURCE, frame + IP6_DESTINATION, 16);
		break;
	default:
		return XDP_PASS;
	}
	swap(frame, frame + 6, 6);
	return XDP_TX;
}

SEC("xdp")
int oracle(struct xdp_md *ctx)
{
	__u8 *frame = (void *)(long)ctx->data;
	__u8 *end = (void *)(long)ctx->data_end;

	return origin_of(frame, end) == ELSEWHERE ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "Dual MIT/GPL";
