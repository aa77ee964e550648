/* The cookie of a probe: SipHash-2-4 of one 8-byte message, as crates/sweep/src/cookie.rs says. */
#ifndef COOKIE_H
#define COOKIE_H

#include "common.h"

enum { PROTOCOL_ICMP = 1, PROTOCOL_TCP = 6, PROTOCOL_UDP = 17 };

/* The source ports of the run in network order; which one a probe has is part of its cookie. */
extern const u16 source_ports[64];

#define ROTATE(value, bits) ((value) << (bits) | (value) >> (64 - (bits)))

#define SIP_ROUND                  \
	do {                       \
		v0 += v1;          \
		v2 += v3;          \
		v1 = ROTATE(v1, 13); \
		v3 = ROTATE(v3, 16); \
		v1 ^= v0;          \
		v3 ^= v2;          \
		v0 = ROTATE(v0, 32); \
		v2 += v1;          \
		v0 += v3;          \
		v1 = ROTATE(v1, 17); \
		v3 = ROTATE(v3, 21); \
		v1 ^= v2;          \
		v3 ^= v0;          \
		v2 = ROTATE(v2, 32); \
	} while (0)

/* Address and port in host order. */
INLINE u64 cookie_of(u32 address, u16 port, u8 protocol)
{
	u64 message = (u64)address << 32 | (u64)port << 16 | protocol;
	const u64 length = 8ull << 56;
	/* The key is already mixed with SipHash's four constants. */
	u64 v0 = CONSTANT(SIP_0);
	u64 v1 = CONSTANT(SIP_1);
	u64 v2 = CONSTANT(SIP_2);
	u64 v3 = CONSTANT(SIP_3) ^ message;

	SIP_ROUND;
	SIP_ROUND;
	v0 ^= message;
	v3 ^= length;
	SIP_ROUND;
	SIP_ROUND;
	v0 ^= length;
	v2 ^= 0xff;
	SIP_ROUND;
	SIP_ROUND;
	SIP_ROUND;
	SIP_ROUND;
	return v0 ^ v1 ^ v2 ^ v3;
}

INLINE u32 sequence_of(u64 cookie)
{
	return (u32)cookie;
}

INLINE u16 request_id_of(u64 cookie)
{
	return (u16)(cookie >> 32);
}

/* In network order. */
INLINE u16 source_port_of(u64 cookie)
{
	return source_ports[cookie >> 48 & 63];
}

#endif
