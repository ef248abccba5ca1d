/* The kernel's types, as far as they are read. CO-RE relocates each field, so only the names have to be right; what is
 * left out does not matter. By hand, since a dump of all types is 3 MB and says nothing about what is used.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "types.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

struct sock_common {
	unsigned char skc_state;
};

struct sock {
	struct sock_common __sk_common;
	int sk_rcvbuf;
	__u32 sk_ack_backlog;
	__u32 sk_max_ack_backlog;
};

struct request_sock_queue {
	atomic_t qlen; /* the SYN queue's length */
};

struct inet_connection_sock {
	struct request_sock_queue icsk_accept_queue;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	bool is_mptcp;
};

#pragma clang attribute pop

/* Attributes of a connection that a cookie kept (include/net/tcp.h, Linux 6.9, commit e472f88891ab). */
struct bpf_tcp_req_attrs {
	__u32 rcv_tsval;
	__u32 rcv_tsecr;
	__u16 mss;
	__u8 rcv_wscale;
	__u8 snd_wscale;
	__u8 ecn_ok;
	__u8 wscale_ok;
	__u8 sack_ok;
	__u8 tstamp_ok;
	__u8 usec_ts_ok;
	__u8 reserved[3];
};

/* Weak, so that one object loads on kernels with and without it. */
extern int bpf_sk_assign_tcp_reqsk(struct __sk_buff *skb, struct sock *sk, struct bpf_tcp_req_attrs *attributes,
				   int attributes__sz) __ksym __weak;

#ifndef bpf_ksym_exists
#define bpf_ksym_exists(sym) (!!(sym))
#endif

/* The kernel's TCP states that matter here (include/net/tcp_states.h). */
#define STATE_ESTABLISHED 1
#define STATE_LISTEN 10
