/* Pure. Who was asked already: a filter of fixed size that forgets by time.
 *
 * A cell has a word for each of the last four times of 1.43 s: 4 bits of when that was, 60 bits of notes. A note is three of them, so that
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
#define ASKED_BITS 60

struct asked {
	__u64 word[ASKED_TIMES];
};

/* What is asked has a name of two parts: a hash, whose lower half finds the cell, and what tells apart within it. */
static __always_inline __u32 asked_index(__u64 hash)
{
	return (hash & 0xffffffff) * ASKED_CELLS >> 32;
}

/* One of the third of a word's bits that begins at `first`, for ten bits of a hash. */
static __always_inline __u64 asked_bit(__u32 hash, __u32 first)
{
	return 1ULL << (first + ((hash & 1023) * (ASKED_BITS / 3) >> 10));
}

/* Three bits, each of a third of the word, so that they are never one and the same. */
static __always_inline __u64 asked_note(__u64 hash, __u32 part)
{
	__u32 mixed = ((__u32)(hash >> 32) ^ part) * 0x85ebca6bu;

	return asked_bit(mixed >> 22, 0) | asked_bit(mixed >> 12, ASKED_BITS / 3) |
	       asked_bit(mixed >> 2, ASKED_BITS / 3 * 2);
}

/* The time of a note, in units of 2^32/3 ns. */
static __always_inline __u32 asked_time(__u64 now_ns)
{
	return now_ns * 3 >> 32;
}

/* All ones where there is any bit in `x`, else zero. Without a branch: one that hangs on memory far away is guessed, and where the guess is
 * wrong, all that the processor did while it waited was for nothing. */
static __always_inline __u64 any_bit(__u64 x)
{
	__s64 sign = x | -x;

	barrier_var(sign);
	return sign >> 63;
}

/* Whether the note was made before; if not, it is now. It is remembered for three to four times: 4.3 to 5.7 s, which covers the first
 * retransmission, after one second (RFC 6298), in older systems after three, and who tries anew after four. */
static __always_inline bool asked_before(struct asked *cell, __u64 note, __u32 time)
{
	const __u64 stamps = ~0ULL << ASKED_BITS;
	__u32 round = time / ASKED_TIMES, here = time % ASKED_TIMES;
	__u64 stamp = (__u64)round << ASKED_BITS;
	__u64 missing = ~0ULL;

	for (__u32 i = 0; i < ASKED_TIMES; i++) {
		/* Words behind this time's are of the round before. */
		__u64 then = (__u64)(round - ((here - i) >> 31)) << ASKED_BITS;

		missing &= any_bit((cell->word[i] ^ (then | note)) & (stamps | note));
	}
	if (!missing)
		return true;
	__u64 *now = &cell->word[here];

	*now = (*now & ~any_bit((*now ^ stamp) & stamps)) | stamp | note;
	return false;
}
