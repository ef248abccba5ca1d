/* The visitors' share of the losses: drops frames at random, as often as user space says.
 *
 * `lab compare` attaches it to the link that visitors come in by, on machines where generator and visitors have one processor
 * together: their frames then never arrive while the generator sends, and would find room in a ring that is full for the flood.
 */
#include "kernel.h"

/* The part of all frames to be lost, of 2^32. User space changes it while the program runs. */
__u32 lose = 0;

SEC("xdp")
int fate(struct xdp_md *ctx)
{
	return lose && bpf_get_prandom_u32() < lose ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
