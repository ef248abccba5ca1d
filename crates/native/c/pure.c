/* The pure headers of bpf/ as functions that can be called from Rust. Nothing is decided here: each function hands its
 * arguments on. crates/native/src/ffi.rs declares the same names.
 */
#include <stddef.h>

#include "answer.h"
#include "asked.h"
#include "challenge.h"
#include "lists.h"
#include "sketch.h"

__u64 pure_siphash(const struct key *key, const __u64 *words, __u32 count, __u64 seven)
{
	struct siphash s;

	siphash_begin(&s, key);
	for (__u32 i = 0; i < count; i++)
		siphash_word(&s, words[i]);
	return siphash_end(&s, count, seven);
}

/* ---- packet.h ---- */

__u32 pure_parse(const __u8 *frame, size_t len, struct packet *p)
{
	return packet_parse((void *)frame, (void *)(frame + len), p);
}

void pure_options(const __u8 *frame, size_t len, const struct packet *p, struct options *o)
{
	packet_options((void *)frame, (void *)(frame + len), p, o);
}

/* The general way through the options, also for layouts that have a short one. */
void pure_options_walk(const struct option_bytes *bytes, __u32 len, struct options *o)
{
	options_walk(bytes, len, o);
}

/* ---- cookie.h ---- */

__u16 pure_mss_value(__u8 index, __u32 v6)
{
	return mss_value(index, v6 != 0);
}

__u8 pure_mss_index(__u16 mss, __u32 v6)
{
	return mss_index(mss, v6 != 0);
}

void pure_cookie_keep(const struct packet *p, const struct options *o, __u32 offers, struct kept *k)
{
	cookie_keep(p, o, offers, k);
}

__u64 pure_cookie_hash(const struct control *c, const struct packet *p, __u32 isn, __u32 time, const struct kept *k)
{
	return cookie_hash(cookie_key(c, time), p, isn, time, k);
}

__u32 pure_cookie_sequence(__u64 hash, __u32 time, const struct kept *k)
{
	return cookie_sequence(hash, time, k);
}

__u32 pure_cookie_timestamp(__u64 hash, const struct kept *k)
{
	return cookie_timestamp(hash, k);
}

__u32 pure_cookie_check(const struct control *c, const struct packet *p, const struct options *o, __u32 now,
			struct kept *k)
{
	return cookie_check(c, p, o, now, k);
}

/* ---- challenge.h ---- */

__u64 pure_flow_hash(const struct key *key, const struct packet *p)
{
	return flow_hash(key, p);
}

__u64 pure_challenge_hash(const struct key *key, const struct packet *p, __u32 time)
{
	return challenge_hash(key, p, time);
}

__u32 pure_challenge_check(const struct key *key, const struct packet *p, __u32 now, __u32 number)
{
	return challenge_check(key, p, now, number);
}

__u32 pure_doors_index(__u64 hash)
{
	return doors_index(hash);
}

void pure_door_set(struct doors *cell, __u64 flow, __u32 tick)
{
	door_set(cell, flow, tick);
}

__u32 pure_door_is_open(const struct doors *cell, __u64 flow, __u32 tick)
{
	return door_is_open(cell, flow, tick);
}

/* ---- asked.h ---- */

__u32 pure_asked_index(__u64 hash)
{
	return asked_index(hash);
}

__u64 pure_asked_note(__u64 hash, __u32 part)
{
	return asked_note(hash, part);
}

__u32 pure_asked_time(__u64 now_ns)
{
	return asked_time(now_ns);
}

__u32 pure_asked_before(struct asked *cell, __u64 note, __u32 time)
{
	return asked_before(cell, note, time);
}

/* ---- answer.h ---- */

__u16 pure_fold(__u64 sum)
{
	return fold(sum);
}

void pure_answer_options(struct answer *a, const struct kept *k, const struct options *o, __u64 hash, __u16 mss,
			 __u8 scale)
{
	answer_options(a, k, o, hash, mss, scale);
}

__u32 pure_answer_len(const struct packet *p, const struct answer *a)
{
	return answer_len(p, a);
}

__u32 pure_answer_write(__u8 *frame, size_t len, const struct packet *p, const struct answer *a)
{
	return answer_write(frame, frame + len, p, a);
}

/* ---- sketch.h ---- */

__u64 pure_source_network(const struct packet *p)
{
	return source_network(p);
}

__u64 pure_mix_whole(__u64 x, __u64 secret)
{
	return mix_whole(x, secret);
}

__u32 pure_mix(__u64 x, __u64 secret)
{
	return mix(x, secret);
}

__u32 pure_answer_line_index(__u32 hash)
{
	return answer_line_index(hash);
}

__u32 pure_answer_count(struct answer_line *line, __u32 hash, __u32 tick)
{
	return answer_count(line, hash, tick);
}

__u32 pure_line_over(const struct answer_line *line, __u32 count, __u32 limit, __u32 tick)
{
	return line_over(line, count, limit, tick);
}

void pure_spread_register(__u8 *registers, __u32 hash)
{
	spread_register(registers, hash);
}

void pure_spread_vote(struct spread_cell *cell, __u64 key, __u32 v6)
{
	spread_vote(cell, key, v6);
}

__u32 pure_trace_index(__u64 source, __u64 secret)
{
	return trace_index(source, secret);
}

__u32 pure_seen_index(__u64 source, __u64 secret)
{
	return seen_index(source, secret);
}

__u8 pure_seen_value(__u32 tick)
{
	return seen_value(tick);
}

__u32 pure_seen_within(__u8 cell, __u32 tick, __u32 ticks)
{
	return seen_within(cell, tick, ticks);
}

/* ---- lists.h: its world is what the caller gives, for each thread ---- */

struct entry {
	struct listed_key key;
	struct listed value;
	__u32 reserved;
};

static _Thread_local struct {
	const struct lists *head;
	const __u64 *filter;
	struct entry *entries;
	__u32 count;
	__u64 now_ns;
} world;

static __always_inline const struct lists *lists_head(void)
{
	return world.head;
}

static __always_inline __u64 filter_word(__u32 index)
{
	return world.filter[index];
}

static __always_inline struct listed *listed_find(const struct listed_key *key)
{
	for (__u32 i = 0; i < world.count; i++) {
		if (__builtin_memcmp(&world.entries[i].key, key, sizeof(*key)) == 0)
			return &world.entries[i].value;
	}
	return NULL;
}

static __always_inline __u64 lists_now_ns(void)
{
	return world.now_ns;
}

__u32 pure_standing(const struct lists *head, const __u64 *filter, struct entry *entries, __u32 count, __u64 now_ns,
		    const struct packet *p, __u32 rate, __u32 burst)
{
	world.head = head;
	world.filter = filter;
	world.entries = entries;
	world.count = count;
	world.now_ns = now_ns;
	return standing(p, (p->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN, rate, burst);
}

/* ---- how the structures lie in memory ---- */

#define OFFSET(type, field) offsetof(struct type, field)

static const __u32 layout[] = {
	sizeof(struct key),
	OFFSET(key, k1),
	sizeof(struct control),
	OFFSET(control, completion),
	OFFSET(control, cookie_key),
	OFFSET(control, flow_key),
	sizeof(struct packet),
	OFFSET(packet, destination),
	OFFSET(packet, source_port),
	OFFSET(packet, destination_port),
	OFFSET(packet, sequence),
	OFFSET(packet, acknowledgement),
	OFFSET(packet, network),
	OFFSET(packet, transport),
	OFFSET(packet, options_len),
	OFFSET(packet, flags),
	OFFSET(packet, v6),
	sizeof(struct options),
	OFFSET(options, timestamp_echo),
	OFFSET(options, mss),
	OFFSET(options, window_scale),
	OFFSET(options, sack),
	OFFSET(options, timestamps),
	sizeof(struct kept),
	OFFSET(kept, window_scale),
	OFFSET(kept, sack),
	OFFSET(kept, timestamps),
	OFFSET(kept, ecn),
	sizeof(struct doors),
	sizeof(struct asked),
	sizeof(struct answer_line),
	sizeof(struct answer),
	OFFSET(answer, acknowledgement),
	OFFSET(answer, window),
	OFFSET(answer, flags),
	OFFSET(answer, words),
	OFFSET(answer, option),
	OFFSET(answer, ttl),
	sizeof(struct listed_key),
	OFFSET(listed_key, address),
	sizeof(struct listed),
	OFFSET(listed, expires),
	OFFSET(listed, filled),
	OFFSET(listed, tokens),
	OFFSET(listed, origin),
	OFFSET(listed, flags),
	sizeof(struct entry),
	OFFSET(entry, value),
	sizeof(struct lengths),
	sizeof(struct prefix_length),
	sizeof(struct lists),
	OFFSET(lists, block),
	OFFSET(lists, allow),
	sizeof(struct spread_cell),
	OFFSET(spread_cell, votes),
	OFFSET(spread_cell, v6),
	/* and the numbers of abi.h and cookie.h that Rust repeats */
	COOKIE_TIME_SHIFT,
	CHALLENGE_TIME_SHIFT,
	TICK_SHIFT,
	DOOR_TICKS,
	DOOR_CELLS,
	ASKED_CELLS,
	ASKED_BITS,
	ASKED_TIMES,
	ANSWER_LINES,
	ANSWER_CELLS,
	TRACES_SHIFT,
	SEEN_SOURCES,
	SEEN_SHIFT,
	COOKIE_TIMES,
	CHALLENGE_TIMES,
	FILTER_WORDS,
	LENGTHS,
	SPREAD_REGISTERS,
};

/* The number at `index`, ~0 behind the last. */
__u32 pure_layout(__u32 index)
{
	return index < sizeof(layout) / sizeof(layout[0]) ? layout[index] : ~0u;
}
