/* The tables. All three programs share them through pins of these names; sizes and what they mean are in abi.h.
 *
 * State is shared by all generations of the programs and stays: `verdicts`, `ports`, `control`, `asked`, `doors`, `answers`,
 * `traces`, `seen`, `verified4`, `verified6`, `speakers`, `rates_source`, `rates_network`, `limiter`, `held`, `local_addresses`,
 * `spread`. Policy belongs to one generation, and a change of policy makes new ones: `services`, `service_limits`,
 * `lists`, `filter`, `listed`.
 *
 * Every one has a bound. The arrays cannot fill. `verified4` and `verified6` are LRU: when they are full, who has been
 * away longest is forgotten, and proves itself again. `listed`, `held` and `local_addresses` are written by user space
 * alone, which is told when one is full.
 */
#pragma once

#include "kernel.h"
#include "abi.h"
#include "asked.h"
#include "challenge.h"
#include "sketch.h"
#include "verdicts.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, VERDICT_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} verdicts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PORTS);
	__type(key, __u32);
	__type(value, struct port);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PORTS);
	__type(key, __u32);
	__type(value, struct service);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct lists);
} lists SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FILTER_WORDS);
	__type(key, __u32);
	__type(value, __u64);
} filter SEC(".maps");

/* How many there may be is user space's; this is the default. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 16);
	__type(key, struct listed_key);
	__type(value, struct listed);
} listed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} control SEC(".maps");

/* Memory that can be mapped begins a page, so that nothing in it lies across two lines of the cache; other arrays' begins behind the
 * kernel's own head. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ASKED_CELLS);
	__type(key, __u32);
	__type(value, struct asked);
} asked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, DOOR_CELLS);
	__type(key, __u32);
	__type(value, struct doors);
} doors SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ANSWER_LINES);
	__type(key, __u32);
	__type(value, struct answer_line);
} answers SEC(".maps");

/* One value, since a map's values are at least 8 bytes apart. */
struct trace_cells {
	__u8 cell[1 << TRACES_SHIFT];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct trace_cells);
} traces SEC(".maps");

struct seen_sources {
	__u8 cell[SEEN_SOURCES];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct seen_sources);
} seen SEC(".maps");

/* The capacities are user space's; these are the defaults. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 20);
	__type(key, __u32);
	__type(value, struct verified);
} verified4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 18);
	__type(key, __u64);
	__type(value, struct verified);
} verified6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PORTS);
	__type(key, __u32);
	__type(value, struct speaker);
} speakers SEC(".maps");

/* Rates of unproven sources and networks: sketches, so nothing is written per source. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, RATE_LINES);
	__type(key, __u32);
	__type(value, struct answer_line);
} rates_source SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, RATE_LINES);
	__type(key, __u32);
	__type(value, struct answer_line);
} rates_network SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct limiter);
} limiter SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PORTS);
	__type(key, __u32);
	__type(value, struct service_limit);
} service_limits SEC(".maps");

/* Written by user space alone. When it is full, the heaviest stay and user space says so. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HELD_MAX);
	__type(key, struct held_key);
	__type(value, struct held);
} held SEC(".maps");

/* Written by user space alone. What does not fit is not bounded. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LOCAL_MAX);
	__type(key, struct address);
	__type(value, __u32);
} local_addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct spread);
} spread SEC(".maps");

static __always_inline void count(enum verdict verdict)
{
	__u32 key = verdict;
	__u64 *counter = bpf_map_lookup_elem(&verdicts, &key);

	if (counter)
		*counter += 1;
}

static __always_inline struct port *port_of(const struct packet *p)
{
	__u32 key = swap16(p->destination_port);

	return bpf_map_lookup_elem(&ports, &key);
}

static __always_inline const struct service *service_of(const struct packet *p)
{
	__u32 key = swap16(p->destination_port);

	return bpf_map_lookup_elem(&services, &key);
}

static __always_inline struct control *control_of(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&control, &key);
}
