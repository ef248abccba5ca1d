/* Pure. Who was asked already: a filter of fixed size that forgets by time.
 *
 * A cell has a word for each of the last four ticks: 4 bits of when that tick was, 28 bits of notes. A note is three of them, so that it
 * takes three others' bits of one tick to be taken for one that was never made. A word of another tick is empty, so nothing has to be
 * cleared. (A word that nobody has touched for 64 ticks, 69 s, looks new again for one: a few notes too many, in a quiet minute.)
 *
 * Small on purpose. Under a flood each SYN is somewhere else in it, so what it costs is how far away the processor keeps it; three bits a
 * note in 2 MiB tell as well as one in 8 (docs/adr/0007-small-tables.md).
 */
#pragma once

#include "abi.h"
#include "types.h"

#define ASKED_TICKS 4
#define ASKED_BITS 28

struct asked {
	__u32 word[ASKED_TICKS];
};

/* What is asked has a name of two parts: a hash, which also finds the cell, and what tells apart within it. */
static __always_inline __u32 asked_index(__u64 hash)
{
	return hash & (ASKED_CELLS - 1);
}

/* One of the bits of a word, for ten bits of a hash. */
static __always_inline __u32 asked_bit(__u32 hash)
{
	return 1u << ((hash & 1023) * ASKED_BITS >> 10);
}

static __always_inline __u32 asked_note(__u64 hash, __u32 part)
{
	__u32 mixed = ((__u32)(hash >> 20) ^ part) * 0x85ebca6bu;

	return asked_bit(mixed >> 22) | asked_bit(mixed >> 12) | asked_bit(mixed >> 2);
}

static __always_inline __u32 asked_stamp(__u32 tick)
{
	return tick / ASKED_TICKS << ASKED_BITS;
}

/* Whether the note was made before, and from now on it is. It is remembered for three to four ticks: 3.2 to 4.3 s, which covers the first
 * retransmission, after one second (RFC 6298), in older systems after three. */
static __always_inline bool asked_before(struct asked *cell, __u32 note, __u32 tick)
{
	const __u32 stamps = ~0u << ASKED_BITS;
	__u32 *now = &cell->word[tick % ASKED_TICKS];
	bool before = false;

	for (__u32 age = 0; age < ASKED_TICKS; age++) {
		__u32 word = cell->word[(tick - age) % ASKED_TICKS];
		__u32 missing = ((word ^ asked_stamp(tick - age)) & stamps) | (~word & note);

		before |= missing == 0;
	}
	*now = ((*now ^ asked_stamp(tick)) & stamps ? asked_stamp(tick) : *now) | note;
	return before;
}
