/* admit: makes a connection of a cookie that came back, at tc ingress, just before the kernel's own TCP sees the
 * packet.
 *
 * It checks the cookie again, since nothing that gate found out reaches it; the hash comes first, because a
 * connection's own segments fail it at once and then cost no lookup. The kernel takes the request socket that
 * bpf_sk_assign_tcp_reqsk() made (Linux 6.9, commit e472f88891ab), and the application's accept() returns as it always
 * does.
 */
#include "kernel.h"
#include "config.h"
#include "conntrack.h"
#include "maps.h"
#include "sockets.h"
#include "kernel_cookie.h"

/* What the cookie kept, in the kernel's form. */
static __always_inline void attributes(struct bpf_tcp_req_attrs *a, const struct packet *p, const struct options *o,
				       const struct kept *k)
{
	bool scaled = k->window_scale != NO_WINDOW_SCALE;

	__builtin_memset(a, 0, sizeof(*a));
	a->mss = mss_value(k->mss_index, p->v6);
	a->wscale_ok = scaled;
	a->snd_wscale = scaled ? k->window_scale : 0;
	a->rcv_wscale = scaled ? receive_wscale : 0;
	a->sack_ok = k->sack;
	a->tstamp_ok = k->timestamps;
	a->rcv_tsval = o->timestamp;
	a->rcv_tsecr = o->timestamp_echo;
	a->ecn_ok = k->ecn;
}

/* Our cookie came back: makes the connection. */
static __always_inline void complete(struct __sk_buff *skb, const struct packet *p, const struct options *o,
				     const struct kept *k, struct bpf_sock *sk)
{
	struct tcp_sock *listener = bpf_skc_to_tcp_sock(sk);
	struct bpf_tcp_req_attrs a;

	if (!listener)
		return;
	attributes(&a, p, o, k);
	int failed = bpf_sk_assign_tcp_reqsk(skb, (struct sock *)listener, &a, sizeof(a));

	count(failed ? admit_failed : admitted);
}

/* Cookies that were admitted lately on this CPU, and when; one place for each value of their lowest bits.
 *
 * A client's final ACK and its request often arrive in one batch, and the kernel shows admit all of a batch before its own TCP sees
 * the first of it. So the request finds no connection yet and has the same valid cookie; were it admitted too, the kernel would throw
 * it away as a second handshake, and it would come again only after the client's timeout of 200 ms. Instead it is sent round once: put
 * behind what is in the queue, it comes back when the connection is there. */
struct last_admitted {
	__u64 cookie;
	__u64 now_ns;
};

#define LAST_ADMITTED 256
#define SAME_BATCH_NS (64 * 1000 * 1000ULL)

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LAST_ADMITTED);
	__type(key, __u32);
	__type(value, struct last_admitted);
} last_admitted SEC(".maps");

/* Whether this is the second segment with a cookie that was admitted a moment ago; remembers it otherwise. */
static __always_inline bool follows_admitted(const struct packet *p, __u64 now_ns)
{
	__u32 place = (p->acknowledgement - 1) & (LAST_ADMITTED - 1);
	struct last_admitted *last = bpf_map_lookup_elem(&last_admitted, &place);
	__u64 cookie = both(p->acknowledgement, p->sequence ^ ports_word(p));

	if (!last)
		return false;
	bool follows = last->cookie == cookie && now_ns - last->now_ns < SAME_BATCH_NS;

	/* Once: what comes back and still finds no connection is admitted like the first. */
	last->cookie = follows ? 0 : cookie;
	last->now_ns = now_ns;
	return follows;
}

/* What may be a cookie, ours or the kernel's, for the listener it is for. */
static __always_inline int admit_to_listener(struct __sk_buff *skb, const struct packet *p, const struct options *o,
					     const struct kept *k, const struct control *c, bool ours, __u64 now_ns)
{
	struct bpf_sock *sk = socket_of(skb, p);
	bool again = false;

	if (!sk)
		return TC_ACT_UNSPEC;
	if (sk->state == STATE_LISTEN) {
		ours = ours && bpf_ksym_exists(bpf_sk_assign_tcp_reqsk);
		again = ours && follows_admitted(p, now_ns);
		if (!again && c->conntrack && (ours || kernel_cookie_check(sk, p)))
			conntrack_enter(skb, p);
		if (!again && ours)
			complete(skb, p, o, k, sk);
	}
	bpf_sk_release(sk);
	return again ? bpf_redirect(skb->ifindex, BPF_F_INGRESS) : TC_ACT_UNSPEC;
}

/* Whether the segment may be what completes a handshake: an ACK, with or without data, to a port that is armed. */
static __always_inline bool may_complete(const struct packet *p, __u64 now_ns)
{
	struct port *port = port_of(p);

	if ((p->flags & (TCP_ACK | TCP_SYN | TCP_RST)) != TCP_ACK || !port)
		return false;
	return port->armed_until && (__s32)(port->armed_until - (__u32)(now_ns >> TICK_SHIFT)) > 0;
}

SEC("tc")
int admit(struct __sk_buff *skb)
{
	struct control *c = control_of();
	struct options o;
	struct packet p;
	struct kept k;

	if (observe || !c)
		return TC_ACT_UNSPEC;
	if (packet_parse((void *)(long)skb->data, (void *)(long)skb->data_end, &p) != PARSED_TCP)
		return TC_ACT_UNSPEC;
	__u64 now_ns = bpf_ktime_get_coarse_ns();

	if (!may_complete(&p, now_ns))
		return TC_ACT_UNSPEC;
	packet_options((void *)(long)skb->data, (void *)(long)skb->data_end, &p, &o);
	bool ours = cookie_check(c, &p, &o, now_ns >> COOKIE_TIME_SHIFT, &k);

	/* The kernel completes its own by itself; only connection tracking has to hear of it. */
	if (ours || (c->conntrack && c->completion == COMPLETION_KERNEL))
		return admit_to_listener(skb, &p, &o, &k, c, ours, now_ns);
	return TC_ACT_UNSPEC;
}

char license_text[] SEC("license") = "Dual MIT/GPL";
