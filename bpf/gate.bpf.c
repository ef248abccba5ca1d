/* gate: the checkpoint itself, in XDP, before the kernel spends anything on a packet. Read main, `gate`, at the end
 * first; the journey of a SYN is `syn`, that of everything else `segment`; before both come the lists.
 *
 * No entry is made for a source here. What is written: counters, cells of filters and sketches of fixed size, the rates of
 * sources that have an entry already, and the time until which a port is armed.
 */
#include "kernel.h"
#include "config.h"
#include "maps.h"
#include "answer.h"
#include "sockets.h"
#include "verified.h"
#include "limits.h"
#include "kernel_cookie.h"
#include "lists.h"

/* ---- answers ---- */

static __always_inline struct asked *asked_cell(__u64 place)
{
	__u32 index = asked_index(place);

	return bpf_map_lookup_elem(&asked, &index);
}

static __always_inline struct doors *doors_cell(__u64 place)
{
	__u32 index = doors_index(place);

	return bpf_map_lookup_elem(&doors, &index);
}

/* Counts one more answer to the network that a SYN says it comes from; whether there were no more than `bound` this tick. */
static __always_inline bool within_bound(const struct packet *p, __u64 secret, __u32 tick, __u32 bound)
{
	__u32 hash = mix(source_network(p), secret);
	__u32 index = answer_line_index(hash);
	struct answer_line *line = bpf_map_lookup_elem(&answers, &index);

	return line && answer_count(line, hash, tick) <= bound;
}

/* Where the filter keeps what it knows of a source: by its address alone, so that a client that gives up and tries anew from another
 * port is still one that was asked. */
static __always_inline __u64 source_place(const struct packet *p, const struct control *c)
{
	return mix_whole(verified_key(p), c->flow_key.k1);
}

/* Whether the very same SYN came before. A client's comes again after a second; a spoofer's are each another. The sequence number
 * belongs to the place, since one spoofed address has only 65 536 flows. No proof hangs on this, so it needs no hash that proves
 * something: whoever wants to be taken for one who asks again can just do so. */
static __always_inline bool is_repeated(const struct packet *p, const struct control *c, __u64 now_ns)
{
	__u64 place = mix_whole(source_place(p, c) ^ both(p->sequence, ports_word(p)), c->flow_key.k0);
	struct asked *cell = asked_cell(place);

	return cell && asked_before(cell, asked_note(place, 0), asked_time(now_ns));
}

/* Whether a SYN may be answered. Half of what its network may get is kept for SYNs that come again, so that whoever lives in a network
 * whose addresses are spoofed gets an answer too. */
static __always_inline bool may_answer(const struct packet *p, const struct control *c, __u64 now_ns)
{
	__u32 tick = now_ns >> TICK_SHIFT;
	__u32 kept = answer_bound / 2;

	if (within_bound(p, c->flow_key.k0, tick, answer_bound - kept))
		return true;
	return is_repeated(p, c, now_ns) && within_bound(p, c->flow_key.k1, tick, kept);
}

/* Sends an answer in the SYN's own frame. */
static __always_inline enum verdict send(struct xdp_md *ctx, const struct packet *p, struct answer *a,
					 enum verdict sent)
{
	if (observe)
		return sent;
	a->ttl = p->v6 ? hop_limit : ttl;
	long have = (void *)(long)ctx->data_end - (void *)(long)ctx->data;

	/* Kept a 64-bit difference: the verifier forbids 32-bit arithmetic on what were pointers. */
	barrier_var(have);
	int grow = (int)answer_len(p, a) - (int)have;

	if (grow != 0 && bpf_xdp_adjust_tail(ctx, grow))
		return answer_failed;
	if (!answer_write((void *)(long)ctx->data, (void *)(long)ctx->data_end, p, a))
		return answer_failed;
	return sent;
}

/* The window that a SYN-ACK may announce: never scaled (RFC 7323, 2.2), and not above what the listener's buffer holds.
 */
static __always_inline __u16 first_window(const struct queues *q)
{
	__u32 half = q->receive_buffer / 2;

	return half > 65535 ? 65535 : half;
}

/* Our cookie. */
static __always_inline void fill_cookie(struct answer *answer, const struct packet *p, const struct options *options,
					const struct control *c, __u64 now_ns)
{
	__u32 time = now_ns >> COOKIE_TIME_SHIFT;
	struct kept kept;

	cookie_keep(p, options, offers, &kept);
	__u64 hash = cookie_hash(cookie_key(c, time), p, p->sequence, time, &kept);

	answer_options(answer, &kept, options, hash, p->v6 ? mss6 : mss4, receive_wscale);
	answer->sequence = cookie_sequence(hash, time, &kept);
	answer->flags |= kept.ecn ? TCP_ECE : 0;
}

/* The kernel's own cookie: below Linux 6.9, and wherever admit could not complete ours. The kernel makes one only when the queue
 * is full. */
static __always_inline bool fill_kernel_cookie(struct answer *answer, const struct packet *p, struct bpf_sock *sk,
					       const struct options *options)
{
	struct kept none = {.window_scale = NO_WINDOW_SCALE};
	__s64 cookie = sk ? kernel_cookie_make(sk, p, options->mss) : -1;

	answer_options(answer, &none, options, 0, p->v6 ? mss6 : mss4, 0);
	answer->sequence = (__u32)cookie;
	return cookie >= 0;
}

/* A segment with nothing in it but a number to send back. Not a SYN-ACK, but the ACK of a host that has the connection open already
 * (RFC 9293, 3.5.1): a client answers both with the same RST, but connection tracking on the road takes nothing from this
 * one (docs/adr/0006-challenge-by-ack.md). */
static __always_inline void fill_challenge(struct answer *answer, const struct packet *p, const struct control *c,
					   __u64 now_ns)
{
	__u64 hash = challenge_hash(&c->flow_key, p, now_ns >> CHALLENGE_TIME_SHIFT);

	answer->sequence = (__u32)(hash >> 32);
	answer->acknowledgement = (__u32)hash;
	answer->flags = TCP_ACK;
	answer->words = 0;
}

/* Makes and sends what was decided, unless the network it would go to has had enough. */
static __always_inline enum verdict answer(struct xdp_md *ctx, const struct packet *p, struct bpf_sock *sk,
					   const struct queues *q, const struct control *c, __u64 now_ns,
					   enum verdict decided)
{
	struct answer answer = {
		.acknowledgement = p->sequence + 1,
		.window = first_window(q),
		.flags = TCP_SYN | TCP_ACK,
	};
	struct options options;

	if (!may_answer(p, c, now_ns))
		return answer_bound_reached;
	if (decided == challenge_sent) {
		fill_challenge(&answer, p, c, now_ns);
	} else {
		packet_options((void *)(long)ctx->data, (void *)(long)ctx->data_end, p, &options);
		if (!q->kernel_completes)
			fill_cookie(&answer, p, &options, c, now_ns);
		else if (!fill_kernel_cookie(&answer, p, sk, &options))
			return syn_queue;
	}
	return send(ctx, p, &answer, decided);
}

/* ---- a SYN ---- */

/* A mark's place in the queue: at least one, since a backlog of 1 has a queue too. */
static __always_inline __u32 share(const struct queues *q, __u8 mark)
{
	return (q->backlog * mark >> 8) + 1;
}

/* Proof by cookie. The kernel makes its own only when the queue is full, so until then it gets the SYN. */
static __always_inline enum verdict by_cookie(const struct queues *q)
{
	return q->kernel_completes && q->syn < q->backlog ? syn_queue : cookie_sent;
}

/* Whether the source answered a challenge of this flow a moment ago. */
static __always_inline bool has_door(const struct packet *p, const struct control *c, __u64 place, __u32 tick)
{
	struct doors *cell = doors_cell(place);

	return cell && door_is_open(cell, flow_hash(&c->flow_key, p), tick);
}

/* Between the marks: the reserve is for those who are known or have shown that they are there. `traced`: one of them may be the source. */
static __always_inline enum verdict in_reserve(const struct packet *p, const struct queues *q, const struct control *c,
					       __u8 method, bool over, bool traced, __u64 now_ns)
{
	__u32 tick = now_ns >> TICK_SHIFT;
	bool challenges = method == METHOD_CHALLENGE;
	__u64 place = source_place(p, c);

	if (traced && !over && is_verified(p, c, now_ns))
		return syn_verified;
	if (traced && challenges && left_trace(p, c, tick) && has_door(p, c, place, tick))
		return syn_door;
	if (!challenges)
		return by_cookie(q);
	struct asked *cell = asked_cell(place);

	/* Who asks again did not get our answer, or we not theirs, or they gave up at it. */
	if (!cell || asked_before(cell, asked_note(place, p->destination_port), asked_time(now_ns)))
		return by_cookie(q);
	return challenge_sent;
}

/* A SYN to a listener whose queue has passed the calm mark, or one over a limit. */
static __always_inline enum verdict prove(struct xdp_md *ctx, const struct packet *p, struct bpf_sock *sk,
					  const struct queues *q, struct port *port, const struct service *service,
					  const struct control *c, bool over, __u64 now_ns)
{
	__u32 until = (now_ns >> TICK_SHIFT) + linger_ticks;
	enum verdict decided;

	if (port->armed_until != until)
		port->armed_until = until;
	if (q->syn < share(q, service->reserve_mark))
		decided = in_reserve(p, q, c, service->method, over, sk != NULL, now_ns);
	else
		decided = by_cookie(q);
	if (verdict_action(decided) != ANSWER)
		return decided;
	decided = answer(ctx, p, sk, q, c, now_ns, decided);
	return over && verdict_action(decided) == ANSWER ? limit_asked : decided;
}

/* A SYN to a listener: how full are its own queues? `sk` is NULL where they were looked at a moment ago
 * and the source left no trace. */
static __always_inline enum verdict syn_to_listener(struct xdp_md *ctx, const struct packet *p, struct bpf_sock *sk,
						    const struct queues *q, struct port *port,
						    const struct service *service, const struct control *c,
						    __u64 now_ns)
{
	if (service->flags & PORT_UNPROTECTED)
		return syn_unprotected;
	enum verdict over = over_limit(p, c);
	bool calm = q->syn < share(q, service->calm_mark);

	if (unlikely(over != WITHIN || !calm))
		spread_sample(p, c);
	if (over_drops(over))
		return over;
	if (unlikely(q->accept > q->backlog))
		return accept_full;
	if (likely(calm && over == WITHIN))
		return syn_calm;
	if (!now_ns)
		now_ns = bpf_ktime_get_coarse_ns();
	if (sk && !calm && !q->kernel_completes)
		look_keep(ctx, p, q, now_ns);
	return prove(ctx, p, sk, q, port, service, c, over != WITHIN, now_ns);
}

/* What the listener's queues were at the last look, where that will do for this SYN; otherwise NULL. */
static __always_inline const struct queues *last_look(const struct xdp_md *ctx, const struct packet *p,
						      const struct control *c, __u64 now_ns)
{
	const struct queues *q = look_again(ctx, p, now_ns);

	return q && likely(!left_trace(p, c, now_ns >> TICK_SHIFT)) ? q : NULL;
}

/* What a listener says now. */
static __always_inline bool look_at(struct bpf_sock *sk, const struct control *c, struct queues *q)
{
	if (sk->state != STATE_LISTEN || !read_queues(sk, q))
		return false;
	q->kernel_completes |= c->completion == COMPLETION_KERNEL;
	return true;
}

/* Who is let through to a listener may have a socket from now on. */
static __always_inline void trace_of_pass(const struct packet *p)
{
	struct control *c = control_of();

	if (c)
		leave_trace(c, verified_key(p), bpf_ktime_get_coarse_ns() >> TICK_SHIFT);
}

static __always_inline enum verdict syn(struct xdp_md *ctx, const struct packet *p)
{
	const struct service *service = service_of(p);
	struct port *port = port_of(p);
	struct control *c = control_of();
	enum verdict verdict = syn_known;
	struct bpf_sock *sk = NULL;
	const struct queues *q = NULL;
	__u64 now_ns = 0; /* not yet asked: a calm SYN needs it only at the end */
	struct queues now;

	if (!port || !service || !c)
		return syn_known;
	if (port->armed_until) {
		now_ns = bpf_ktime_get_coarse_ns();
		q = last_look(ctx, p, c, now_ns);
	}
	if (!q) {
		sk = socket_of(ctx, p);
		if (!sk)
			return without_socket(p, syn_elsewhere, closed_port);
		q = look_at(sk, c, &now) ? &now : NULL;
	}
	if (q)
		verdict = syn_to_listener(ctx, p, sk, q, port, service, c, now_ns);
	if (sk)
		bpf_sk_release(sk);
	if (q && verdict_action(verdict) == PASS)
		trace_of_pass(p);
	return verdict;
}

/* ---- everything else ---- */

/* An RST that brings a challenge's number back opens the door for its flow. */
static __always_inline bool rst_proves(const struct packet *p, const struct control *c, __u64 now_ns)
{
	__u32 tick = now_ns >> TICK_SHIFT;

	if (!challenge_check(&c->flow_key, p, now_ns >> CHALLENGE_TIME_SHIFT, p->sequence))
		return false;
	struct doors *cell = doors_cell(source_place(p, c));

	if (cell && !observe) {
		door_set(cell, flow_hash(&c->flow_key, p), tick);
		leave_trace(c, verified_key(p), tick);
	}
	return true;
}

/* An ACK for a listener: a cookie comes back, or something that nobody asked for. */
static __always_inline enum verdict ack_to_listener(struct xdp_md *ctx, const struct packet *p, struct bpf_sock *sk,
						    const struct control *c, __u64 now_ns)
{
	struct options options;
	struct kept kept;

	/* Both kinds are looked for: cookies of the other kind may be on their way when the completion has just
	 * changed. */
	packet_options((void *)(long)ctx->data, (void *)(long)ctx->data_end, p, &options);
	if (cookie_check(c, p, &options, now_ns >> COOKIE_TIME_SHIFT, &kept))
		return cookie_valid;
	if (kernel_cookie_check(sk, p))
		return cookie_valid;
	return stray_ack;
}

static __always_inline enum verdict to_listener(struct xdp_md *ctx, const struct packet *p, struct bpf_sock *sk,
						const struct control *c, __u64 now_ns)
{
	if (p->flags & TCP_RST)
		return stray_rst;
	if (p->flags & TCP_SYN)
		return stray_synack;
	if (!(p->flags & TCP_ACK))
		return stray_other;
	return ack_to_listener(ctx, p, sk, c, now_ns);
}

static __always_inline enum verdict segment_armed(struct xdp_md *ctx, const struct packet *p, __u64 now_ns)
{
	const struct service *service = service_of(p);
	struct control *c = control_of();
	enum verdict verdict = segment_socket;

	if (!c || !service)
		return segment_calm;
	/* An RST of a connection has this number by chance once in 2^31. RFC 9293 has it without ACK; lwIP and gVisor set it. */
	if ((p->flags & TCP_RST) && service->method == METHOD_CHALLENGE && rst_proves(p, c, now_ns))
		return challenge_proved;
	struct bpf_sock *sk = socket_of(ctx, p);

	if (!sk)
		return without_socket(p, segment_elsewhere, no_socket);
	if (sk->state == STATE_LISTEN)
		verdict = to_listener(ctx, p, sk, c, now_ns);
	else
		leave_trace(c, verified_key(p), now_ns >> TICK_SHIFT);
	bpf_sk_release(sk);
	return verdict;
}

/* A segment for a calm port. Its socket is looked for all the same where it is a SYN-ACK, which is rare, and while resets to
 * nobody are too many (user space sees the kernel send them). */
static __always_inline enum verdict segment_calm_port(struct xdp_md *ctx, const struct packet *p)
{
	struct limiter *l = limiter_of();

	if (!l || likely(!l->strays_until && !(p->flags & TCP_SYN)))
		return segment_calm;
	/* An RST is answered by nobody. */
	if (!l->closed_budget || (p->flags & TCP_RST))
		return segment_calm;
	__u32 tick = bpf_ktime_get_coarse_ns() >> TICK_SHIFT;

	if (!(p->flags & TCP_SYN) && (__s32)(l->strays_until - tick) <= 0)
		return segment_calm;
	struct bpf_sock *sk = socket_of(ctx, p);
	bool listens = sk && sk->state == STATE_LISTEN;

	if (sk)
		bpf_sk_release(sk);
	if (sk && !listens)
		return segment_calm;
	return without_socket(p, segment_calm, no_socket);
}

static __always_inline enum verdict segment(struct xdp_md *ctx, const struct packet *p)
{
	struct port *port = port_of(p);

	if (!port || likely(port->armed_until == 0))
		return segment_calm_port(ctx, p);
	__u64 now_ns = bpf_ktime_get_coarse_ns();

	if ((__s32)(port->armed_until - (__u32)(now_ns >> TICK_SHIFT)) <= 0) {
		port->armed_until = 0;
		return segment_calm;
	}
	return segment_armed(ctx, p, now_ns);
}

/* ---- the lists ---- */

static __always_inline const struct lists *lists_head(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&lists, &key);
}

static __always_inline __u64 filter_word(__u32 index)
{
	__u64 *word = bpf_map_lookup_elem(&filter, &index);

	return word ? *word : 0;
}

static __always_inline struct listed *listed_find(const struct listed_key *key)
{
	return bpf_map_lookup_elem(&listed, key);
}

static __always_inline __u64 lists_now_ns(void)
{
	return bpf_ktime_get_coarse_ns();
}

/* ---- the journey ---- */

static __always_inline enum verdict judge(struct xdp_md *ctx)
{
	struct packet p;

	switch (packet_parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, &p)) {
	case PARSED_OTHER:
		return not_tcp;
	case PARSED_FRAGMENT:
		return fragment;
	case PARSED_MALFORMED:
		return malformed;
	case PARSED_TCP:
		break;
	}
	bool opens = (p.flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	enum standing stands = standing(&p, opens, allowed_rate, allowed_burst);

	if (unlikely(stands == STANDING_BLOCKED))
		return blocked;
	if (stands == STANDING_ALLOWED) {
		trace_of_pass(&p);
		return allowed;
	}
	return opens ? syn(ctx, &p) : segment(ctx, &p);
}

static __always_inline int checkpoint(struct xdp_md *ctx)
{
	enum verdict verdict = judge(ctx);

	count(verdict);
	if (observe)
		return XDP_PASS;
	switch (verdict_action(verdict)) {
	case DROP:
		return XDP_DROP;
	case ANSWER:
		return XDP_TX;
	default:
		return XDP_PASS;
	}
}

SEC("xdp")
int gate(struct xdp_md *ctx)
{
	return checkpoint(ctx);
}

char license_text[] SEC("license") = "Dual MIT/GPL";
