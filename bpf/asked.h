/* Pure. Who was asked already: a filter of fixed size that forgets by time.
 *
 * A cell has a word for each of the last four times of 1.43 s: 4 bits of when that was, 28 bits of notes. A note is three of them, so that
 * it takes three others' bits of one time to be taken for one that was never made. A word of another time is empty, so nothing has to be
 * cleared. (A word that nobody has touched for 64 times, a minute and a half, looks new again for one: a few notes too many.)
 *
 * What is taken for a note is not noted once more. So a flood fills only as much of the filter as it is not yet taken for asked.
 *
 * Small on purpose. Under a flood each SYN is somewhere else in it, so what it costs is how far away the processor keeps it
 * (docs/adr/0007-small-tables.md).
 */
#pragma once

#include "abi.h"
#include "types.h"

#define ASKED_TIMES 4
#define ASKED_BITS 28

struct asked {
	__u32 word[ASKED_TIMES];
};

/* What is asked has a name of two parts: a hash, which also finds the cell, and what tells apart within it. */
static __always_inline __u32 asked_index(__u64 hash)
{
	return hash & (ASKED_CELLS - 1);
}

/* One of `count` bits from `first` on, for ten bits of a hash. */
static __always_inline __u32 asked_bit(__u32 hash, __u32 first, __u32 count)
{
	return 1u << (first + ((hash & 1023) * count >> 10));
}

/* Three bits, each of a part of the word of its own, so that they are never one and the same. */
static __always_inline __u32 asked_note(__u64 hash, __u32 part)
{
	__u32 mixed = ((__u32)(hash >> 20) ^ part) * 0x85ebca6bu;

	return asked_bit(mixed >> 22, 0, 9) | asked_bit(mixed >> 12, 9, 9) | asked_bit(mixed >> 2, 18, 10);
}

/* The time of a note, in units of 2^32/3 ns. */
static __always_inline __u32 asked_time(__u64 now_ns)
{
	return now_ns * 3 >> 32;
}

static __always_inline __u32 asked_stamp(__u32 time)
{
	return time / ASKED_TIMES << ASKED_BITS;
}

/* Whether the note was made before; if not, it is now. It is remembered for three to four times: 4.3 to 5.7 s, which covers the first
 * retransmission, after one second (RFC 6298), in older systems after three, and who tries anew after four. */
static __always_inline bool asked_before(struct asked *cell, __u32 note, __u32 time)
{
	const __u32 stamps = ~0u << ASKED_BITS;
	__u32 *now = &cell->word[time % ASKED_TIMES];
	bool before = false;

	for (__u32 age = 0; age < ASKED_TIMES; age++) {
		__u32 word = cell->word[(time - age) % ASKED_TIMES];
		__u32 missing = ((word ^ asked_stamp(time - age)) & stamps) | (~word & note);

		before |= missing == 0;
	}
	if (!before)
		*now = ((*now ^ asked_stamp(time)) & stamps ? asked_stamp(time) : *now) | note;
	return before;
}
