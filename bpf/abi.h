/* The border between the programs and user space: everything here is read on both sides.
 *
 * Rust's copies are in crates/datapath/src/abi.rs; a test there compares sizes and offsets with this file as the C
 * compiler lays it out. Fixed-width integers, no hidden padding. ABI_VERSION grows with every change that an older
 * daemon, or an older pinned program, would misread.
 */
#pragma once

#define ABI_VERSION 4

/* Time. Everything is derived from the coarse monotonic clock in nanoseconds by shifts, because a division costs as
 * much as a whole parse. One tick is 2^30 ns = 1.07 s. */
#define TICK_SHIFT 30
#define COOKIE_TIME_SHIFT 35	/* 34.4 s; three of them are accepted: a cookie lives 68.7 to 103 s */
#define CHALLENGE_TIME_SHIFT 32 /* 4.3 s; two of them are accepted */
#define DOOR_TICKS 5		/* how long a proved challenge lets its flow's SYN in */

/* Bounds. Each table's memory is in the comment. */
#define PORTS 65536	       /* ports: 8 bytes each, 512 KiB; services and speakers: the same */
#define ASKED_CELLS (3 << 14)  /* asked: 32 bytes each, 1.5 MiB */
#define DOOR_CELLS (1 << 19)   /* doors: 16 bytes each, 8 MiB */
#define ANSWER_LINES 8192      /* answers: 64 bytes each, 512 KiB */
#define TRACES_SHIFT 17	       /* traces: 2^17 of 1 byte each, 128 KiB */
#define SEEN_SOURCES (1 << 20) /* seen: 1 byte each, 1 MiB */
#define VERDICT_SLOTS 64       /* verdicts: 8 bytes each and CPU */
#define RATE_LINES 8192	       /* rates_source, rates_network: 64 bytes each, 512 KiB */
#define HELD_MAX 8192	       /* held: 80 bytes each */
#define LOCAL_MAX 1024	       /* local_addresses: 72 bytes each */
#define SPREAD_REGISTERS 1024  /* spread: 5 KiB a CPU */
#define SPREAD_CELLS 128
#define SPREAD_SAMPLE 32       /* one SYN of so many is looked at */
#define FILTER_WORDS (1 << 19) /* filter: 8 bytes each, 4 MiB: half for each family */
#define LENGTHS 84	       /* prefix lengths of one kind: 33 of IPv4; 48 and 81 of IPv6 */

/* One port number's state, which outlives every change of policy. Written by gate. */
struct port {
	__u32 armed_until; /* tick until which segments for this port are looked at; 0: calm */
	__u32 reserved;
};

/* One port number's policy. Written by user space, as one word. */
struct service {
	__u8 method;	   /* enum method */
	__u8 flags;	   /* PORT_* */
	__u8 calm_mark;	   /* share of the backlog in 1/256: below it nothing is asked */
	__u8 reserve_mark; /* share of the backlog in 1/256: from it on everybody gets a cookie */
	__u32 reserved;
};

enum method {
	METHOD_COOKIE = 0,
	METHOD_CHALLENGE = 1,
};

#define PORT_UNPROTECTED 1

/* One SipHash key. */
struct key {
	__u64 k0;
	__u64 k1;
};

/* Written by user space as a whole word at a time; read by every program on every packet that needs it. */
struct control {
	/* Which key makes and checks cookies: bit 0 is the slot in `cookie_key` for cookie times from `word >> 1` on;
	 * before that time it is the other slot. */
	__u64 key_word;
	__u32 completion; /* enum completion */
	__u32 conntrack;  /* 1: admit enters connections into connection tracking */
	struct key cookie_key[2];
	struct key flow_key; /* challenges, doors, sketches; made when the map is made */
};

enum completion {
	COMPLETION_OWN = 0,    /* our cookie, completed by admit (Linux 6.9 and later) */
	COMPLETION_KERNEL = 1, /* the kernel's cookie, completed by the kernel */
};

/* A verified source: an address (IPv4) or a prefix (IPv6, /64 unless configured) that completed a handshake. */
struct verified {
	__u32 seen;	  /* tick of the last completed handshake */
	__u32 filled;	  /* time of `tokens`, in 2^20 ns (1.05 ms) */
	__u32 tokens;	  /* SYNs it may send into the reserve, times 1024 */
	__u32 handshakes; /* completed handshakes, saturating */
	/* The same for the limit per source, where one is configured. */
	__u32 limit_filled;
	__u32 limit_tokens;
};

/* Who sent the first data on a port's connections, as far as sampled. */
struct speaker {
	__u32 server;
	__u32 client;
};

/* What happens to a SYN over a limit. */
enum over {
	OVER_PROVE = 0, /* it is asked for proof, also while calm */
	OVER_DROP = 1,
};

/* The limits' state. `cell`s are counts of one tick, as in sketch.h; the rest is user space's. */
struct limiter {
	__u32 global_cell;   /* SYNs to listeners */
	__u32 closed_cell;   /* what would have been answered by RST */
	__u32 closed_budget; /* how much of that a tick; 0: not bounded */
	__u32 strays_until;  /* tick until which every segment's socket is looked up; 0: not now */
	__u32 held;	     /* entries of `held`; 0: not looked at */
	__u32 reserved;
};

/* One service's own limit. */
struct service_limit {
	__u32 rate; /* SYNs a tick; 0: none */
	__u32 cell;
};

/* Sources and networks that are held back for a time. */
struct held_key {
	__u64 address; /* as verified_key() or source_network() */
	__u32 kind;    /* HELD_* */
	__u32 reserved;
};

#define HELD_SOURCE4 0
#define HELD_SOURCE6 1
#define HELD_NETWORK4 2
#define HELD_NETWORK6 3

struct held {
	__u32 until; /* tick */
	__u32 why;   /* enum held_why */
	__u32 rate;  /* SYNs a tick that still pass */
	__u32 cell;
};

enum held_why {
	HELD_CONNECTIONS = 0,  /* as many connections as it may have: verified or not */
	HELD_CONCENTRATED = 1, /* a large part of a flood: unverified sources only */
};

/* How a flood is spread: of SYNs that met a queue above its calm mark, or a limit. Written by gate for each CPU, read
 * and emptied by user space. */
struct spread_cell {
	__u64 key; /* as verified_key() or source_network() */
	__u32 votes;
	__u32 v6;
};

struct spread {
	__u64 asked;   /* SYNs */
	__u64 samples; /* of them looked at */
	__u8 registers[SPREAD_REGISTERS];
	struct spread_cell source[SPREAD_CELLS];
	struct spread_cell network[SPREAD_CELLS];
};

/* A local address, IPv4 in the first word, in network order. */
struct address {
	__u32 word[4];
};

/* The lists of sources: see lists.h. */
enum list {
	LIST_BLOCK = 0,
	LIST_ALLOW = 1,
};

/* A prefix on a list. */
struct listed_key {
	__u8 list; /* enum list */
	__u8 v6;
	__u8 length;
	__u8 reserved;
	__u32 address[4]; /* network order, masked; zeros behind an IPv4 address */
};

#define LISTED_FORCED 1 /* a block that goes before an allowance */

struct listed {
	__u64 hits;    /* packets that it decided; two CPUs at once may count one for two */
	__u32 expires; /* the tick from which on it no longer holds; 0: never */
	__u32 filled;  /* time of `tokens`, in 2^20 ns (1.05 ms) */
	__u32 tokens;  /* of an allowed prefix: SYNs that it may send at once, times 1024 */
	__u8 origin;   /* user space's own: who put it there */
	__u8 flags;    /* LISTED_* */
	__u16 reserved;
};

/* A prefix length, with the mask that belongs to it, so that nothing has to be shifted for each packet. */
struct prefix_length {
	__u32 mask[4]; /* network order */
	__u32 length;
};

/* Which prefix lengths are in use. New ones come at the end, and then the count grows. */
struct lengths {
	__u32 count;
	struct prefix_length at[LENGTHS];
};

/* The three kinds of prefix that are looked for separately. */
enum kind {
	KIND_V4 = 0,
	KIND_V6_SHORT = 1, /* shorter than /48: the filter says nothing about them */
	KIND_V6_LONG = 2,
	KINDS = 3,
};

/* The lists' head. */
struct lists {
	__u64 secret; /* of the filter's hash */
	__u32 any;    /* whether there is anything at all */
	__u32 blocks; /* whether there is anything to block */
	struct lengths block[KINDS];
	struct lengths allow[KINDS];
};
