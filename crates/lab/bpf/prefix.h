/* An address prefix, as the lab's programs compare it: up to 64 bits, in network order. */
#pragma once

/* Its bits and which of them count. An all-ones base under an all-zero mask never matches. */
struct prefix {
	__u32 base[2];
	__u32 mask[2];
};

static __always_inline int within(const __u32 *address, const volatile struct prefix *prefix)
{
	return ((address[0] & prefix->mask[0]) == prefix->base[0]) &&
	       ((address[1] & prefix->mask[1]) == prefix->base[1]);
}
