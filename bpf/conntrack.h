/* Connection tracking never saw the SYN that gate answered. So a firewall that is stateful takes the ACK with our cookie for the
 * middle of a connection it does not know, and may drop it as new or invalid. Where user space found such a firewall, admit makes the
 * entry that the handshake would have made (kfuncs of net/netfilter/nf_conntrack_bpf.c, Linux 6.1).
 */
#pragma once

#include "kernel.h"
#include "packet.h"

struct nf_conn {
	__u32 mark;
} __attribute__((preserve_access_index));

/* The form that every kernel takes; later ones have a longer one too. */
struct bpf_ct_opts___short {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto;
	__u8 dir;
	__u8 reserved[2];
};

extern struct nf_conn *bpf_skb_ct_alloc(struct __sk_buff *skb, struct bpf_sock_tuple *tuple, __u32 tuple__sz,
					struct bpf_ct_opts___short *opts, __u32 opts__sz) __ksym __weak;
extern struct nf_conn *bpf_ct_insert_entry(struct nf_conn *entry) __ksym __weak;
extern void bpf_ct_release(struct nf_conn *entry) __ksym __weak;
extern void bpf_ct_set_timeout(struct nf_conn *entry, __u32 timeout_ms) __ksym __weak;
extern int bpf_ct_set_status(const struct nf_conn *entry, __u32 status) __ksym __weak;

#define CONNTRACK_ANY_NETNS (-1)
#define CONNTRACK_SEEN_REPLY 2		 /* IPS_SEEN_REPLY: our SYN-ACK */
#define CONNTRACK_FIRST_TIMEOUT_MS 60000 /* until the ACK itself sets the timeout of a connection */

static __always_inline bool conntrack_available(void)
{
	return bpf_ksym_exists(bpf_skb_ct_alloc) && bpf_ksym_exists(bpf_ct_insert_entry) &&
	       bpf_ksym_exists(bpf_ct_release) && bpf_ksym_exists(bpf_ct_set_timeout) &&
	       bpf_ksym_exists(bpf_ct_set_status);
}

/* Makes the entry. That there is one already is no error: an ACK that was sent twice. */
static __always_inline void conntrack_enter(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_ct_opts___short opts = {.netns_id = CONNTRACK_ANY_NETNS, .l4proto = NEXT_TCP};
	struct bpf_sock_tuple tuple = {};
	struct nf_conn *entry;

	if (!conntrack_available())
		return;
	if (p->v6) {
		for (int i = 0; i < 4; i++) {
			tuple.ipv6.saddr[i] = p->source[i];
			tuple.ipv6.daddr[i] = p->destination[i];
		}
		tuple.ipv6.sport = p->source_port;
		tuple.ipv6.dport = p->destination_port;
		entry = bpf_skb_ct_alloc(skb, &tuple, sizeof(tuple.ipv6), &opts, sizeof(opts));
	} else {
		tuple.ipv4.saddr = p->source[0];
		tuple.ipv4.daddr = p->destination[0];
		tuple.ipv4.sport = p->source_port;
		tuple.ipv4.dport = p->destination_port;
		entry = bpf_skb_ct_alloc(skb, &tuple, sizeof(tuple.ipv4), &opts, sizeof(opts));
	}
	if (!entry)
		return;
	bpf_ct_set_timeout(entry, CONNTRACK_FIRST_TIMEOUT_MS);
	bpf_ct_set_status(entry, CONNTRACK_SEEN_REPLY);
	entry = bpf_ct_insert_entry(entry);
	if (entry)
		bpf_ct_release(entry);
}
