/* The border between the programs and user space: everything here is read on both sides.
 *
 * Rust's copies are in crates/datapath/src/abi.rs; a test there compares sizes and offsets with this file as the C
 * compiler lays it out. Fixed-width integers, no hidden padding. ABI_VERSION grows with every change that an older
 * daemon, or an older pinned program, would misread.
 */
#pragma once

#define ABI_VERSION 1

/* Time. Everything is derived from the coarse monotonic clock in nanoseconds by shifts, because a division costs as
 * much as a whole parse. One tick is 2^30 ns = 1.07 s. */
#define TICK_SHIFT 30
#define COOKIE_TIME_SHIFT 35	/* 34.4 s; three of them are accepted: a cookie lives 68.7 to 103 s */
#define CHALLENGE_TIME_SHIFT 32 /* 4.3 s; two of them are accepted */
#define ASKED_TIME_SHIFT 32	/* 4.3 s; two of them are remembered */
#define DOOR_TICKS 5		/* how long a proved challenge lets its flow's SYN in */

/* Bounds. Each table's memory is in the comment. */
#define PORTS 65536	       /* ports: 8 bytes each, 512 KiB; speakers: the same */
#define FLOWS (1 << 19)	       /* flows: 32 bytes each, 16 MiB */
#define ANSWER_LINES 8192      /* answers: 64 bytes each, 512 KiB */
#define SEEN_SOURCES (1 << 20) /* seen: 1 byte each, 1 MiB */
#define VERDICT_SLOTS 64       /* verdicts: 8 bytes each and CPU */

/* One port number's state and policy. `armed_until` is written by gate, the rest by user space (single bytes, through
 * mmap). */
struct port {
	__u32 armed_until; /* tick until which segments for this port are looked at; 0: calm */
	__u8 method;	   /* enum method */
	__u8 flags;	   /* PORT_* */
	__u8 calm_mark;	   /* share of the backlog in 1/256: below it nothing is asked */
	__u8 reserve_mark; /* share of the backlog in 1/256: from it on everybody gets a cookie */
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
	struct key flow_key; /* challenges, flows, sketches; made when the map is made */
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
};

/* Who sent the first data on a port's connections, as far as sampled. */
struct speaker {
	__u32 server;
	__u32 client;
};
