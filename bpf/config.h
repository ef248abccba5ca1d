/* What user space sets before it loads the programs: read-only afterwards, so the verifier takes dead branches out.
 *
 * The same names in each object; crates/datapath fills all of them from one `Settings`.
 */
#pragma once

#include "abi.h"
#include "types.h"

/* Decide and count, but touch nothing. */
volatile const __u32 observe = 0;
/* How long a port stays armed after its last answer, in ticks. */
volatile const __u32 linger_ticks = 56;
/* The MSS that we announce: the interface's MTU less 40 and 60. */
volatile const __u16 mss4 = 1460;
volatile const __u16 mss6 = 1440;
/* Our window scale, as the kernel would choose it from net.ipv4.tcp_rmem. */
volatile const __u8 receive_wscale = 7;
/* net.ipv4.ip_default_ttl, net.ipv6.conf.*.hop_limit. */
volatile const __u8 ttl = 64;
volatile const __u8 hop_limit = 64;
/* OFFER_*: net.ipv4.tcp_timestamps, tcp_sack, tcp_window_scaling, tcp_ecn. */
volatile const __u32 offers = 15;
/* SYNs of one verified source that the reserve takes: tokens (1/1024 SYN) for each 2^20 ns, and at most at once. 21 is
 * 20 SYN/s. */
volatile const __u32 verified_rate = 21;
volatile const __u32 verified_burst = 40 * 1024;
/* The same for an allowed prefix, whatever the queues: 105 is 100 SYN/s. */
volatile const __u32 allowed_rate = 105;
volatile const __u32 allowed_burst = 200 * 1024;
/* How long a verified source is remembered after its last handshake, in ticks: an hour. */
volatile const __u32 verified_ticks = 3353;
/* The part of an IPv6 address (its first eight bytes, in network order) that is one source: /64. */
volatile const __u64 verified6_mask = 0xffffffffffffffffULL;
/* Answers to one network (/24, /56) in one tick. */
volatile const __u32 answer_bound = 4096;
/* Limits on SYNs to listeners, a tick each; 0: none. A verified source has an exact bucket of `limit_rate` tokens (1/1024
 * SYN) for each 2^20 ns instead of `limit_source`. */
volatile const __u32 limit_source = 0;
volatile const __u32 limit_rate = 0;
volatile const __u32 limit_burst = 0;
volatile const __u32 limit_network = 0;
volatile const __u32 limit_global = 0;
/* 1: some service has a limit. */
volatile const __u32 limit_services = 0;
/* enum over. */
volatile const __u32 limit_over = 0;
/* The network namespace that the sockets must be in (SO_NETNS_COOKIE); 0: any. */
volatile const __u64 netns_cookie = 0;
/* The version of abi.h that the object was built with. */
volatile const __u32 abi_version = ABI_VERSION;
