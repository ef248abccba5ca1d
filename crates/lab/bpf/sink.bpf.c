/* The sink: swallows what a server answers to spoofed addresses, where it leaves the server's link.
 *
 * It is attached in XDP to the router's end of the link, for two reasons. A frame dropped here was delivered as far as the sender
 * can tell; dropped by a queueing discipline or a missing route it would come back as an error and change the listener's timers.
 * And a veth transmits XDP_TX frames only towards a peer that has a program.
 *
 * A part of the spoofed range can be declared live: answers to it pass, so that real hosts behind those addresses answer.
 */
#include "kernel.h"
#include "prefix.h"

#define ETH_SIZE 14
#define ETHERTYPE_AT 12
#define IP4_DESTINATION (ETH_SIZE + 16)
#define IP6_DESTINATION (ETH_SIZE + 24)
#define TYPE_IP4 0x0008 /* in memory order on a little-endian machine */
#define TYPE_IP6 0xdd86

/* Swallowed and live prefixes; user space may change `live` while the program runs. */
const volatile struct prefix swallow4 = {};
const volatile struct prefix swallow6 = {};
struct prefix live4 = {.base = {0xffffffff, 0xffffffff}};
struct prefix live6 = {.base = {0xffffffff, 0xffffffff}};

enum {
	SWALLOWED,
	PASSED,
	COUNTERS
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} frames SEC(".maps");

static __always_inline void count(__u32 what)
{
	__u64 *counter = bpf_map_lookup_elem(&frames, &what);
	if (counter)
		(*counter)++;
}

/* Whether the frame goes to a spoofed address that is not live. */
static __always_inline int is_spoofed(__u8 *frame, __u8 *end)
{
	__u32 destination[2] = {};
	__u16 type;

	if (frame + IP4_DESTINATION + 4 > end)
		return 0;
	__builtin_memcpy(&type, frame + ETHERTYPE_AT, sizeof(type));
	if (type == TYPE_IP4) {
		__builtin_memcpy(destination, frame + IP4_DESTINATION, 4);
		return within(destination, &swallow4) && !within(destination, &live4);
	}
	if (type != TYPE_IP6 || frame + IP6_DESTINATION + 8 > end)
		return 0;
	__builtin_memcpy(destination, frame + IP6_DESTINATION, 8);
	return within(destination, &swallow6) && !within(destination, &live6);
}

SEC("xdp")
int sink(struct xdp_md *ctx)
{
	if (is_spoofed((void *)(long)ctx->data, (void *)(long)ctx->data_end)) {
		count(SWALLOWED);
		return XDP_DROP;
	}
	count(PASSED);
	return XDP_PASS;
}

/* For the far ends of links: a veth takes XDP_TX frames only where a program, or GRO, keeps its receive ring open. */
SEC("xdp")
int pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
