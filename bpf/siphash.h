/* Pure. SipHash-2-4 over 64-bit words and seven bytes at the end (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012).
 *
 * Every keyed hash of Sekisho is this one. The result equals the reference's over the words' little-endian bytes; the
 * native tests compare it with another implementation.
 */
#pragma once

#include "abi.h"
#include "types.h"

struct siphash {
	__u64 v0, v1, v2, v3;
};

static __always_inline __u64 rotate_left(__u64 x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

static __always_inline void siphash_round(struct siphash *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = rotate_left(s->v1, 13) ^ s->v0;
	s->v3 = rotate_left(s->v3, 16) ^ s->v2;
	s->v0 = rotate_left(s->v0, 32);
	s->v2 += s->v1;
	s->v0 += s->v3;
	s->v1 = rotate_left(s->v1, 17) ^ s->v2;
	s->v3 = rotate_left(s->v3, 21) ^ s->v0;
	s->v2 = rotate_left(s->v2, 32);
}

static __always_inline void siphash_begin(struct siphash *s, const struct key *key)
{
	s->v0 = key->k0 ^ 0x736f6d6570736575ULL;
	s->v1 = key->k1 ^ 0x646f72616e646f6dULL;
	s->v2 = key->k0 ^ 0x6c7967656e657261ULL;
	s->v3 = key->k1 ^ 0x7465646279746573ULL;
}

static __always_inline void siphash_word(struct siphash *s, __u64 word)
{
	s->v3 ^= word;
	siphash_round(s);
	siphash_round(s);
	s->v0 ^= word;
}

/* The last seven bytes, which share a block with the length of all: `words` is how many whole words went in. */
static __always_inline __u64 siphash_end(struct siphash *s, __u64 words, __u64 seven)
{
	siphash_word(s, (words * 8 + 7) << 56 | seven);
	s->v2 ^= 0xff;
	siphash_round(s);
	siphash_round(s);
	siphash_round(s);
	siphash_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}
