/* Hears answers: what comes to one of the run's ports is handed to the ring and, as everything
 * else, goes on to the kernel, whose own reset ends what a SYN-ACK had half opened.
 *
 * An answer that carries the cookie gets a place in the ring as long as there is one. The rest
 * (forged, or from another port than was asked) gets one only while the ring is less than half
 * full, so that a flood of forgeries pushes out no answer. Both are judged elsewhere.
 */
#ifndef RECEIVE_H
#define RECEIVE_H

#include "cookie.h"

#define ETHERNET_BYTES 14
#define IP_BYTES 20
#define ICMP_BYTES 8

/* The sizes of records: most answers are as short as the shorter one. */
#define SHORT_BYTES 72
#define LONG_BYTES 256

struct ip {
	u8 version_and_length;
	u8 service;
	u16 length;
	u16 identification;
	u16 fragment;
	u8 hops;
	u8 protocol;
	u16 checksum;
	u32 from;
	u32 to;
};

struct tcp {
	u16 from;
	u16 to;
	u32 sequence;
	u32 acknowledgement;
	u8 offset;
	u8 flags;
	u16 window;
	u16 checksum;
	u16 urgent;
};

struct udp {
	u16 from;
	u16 to;
	u16 length;
	u16 checksum;
};

struct short_record {
	u32 length;
	u8 bytes[SHORT_BYTES];
	u32 unused;
};

struct long_record {
	u32 length;
	u8 bytes[LONG_BYTES];
	u32 unused;
};

/* What one CPU heard. */
struct receipt {
	/* Answers for which the ring had no place. */
	u64 lost;
	/* Frames without the right cookie for which it had none. */
	u64 doubtful_lost;
	u64 unused[6];
};

extern const char receipts[], ring[];
/* One bit for each port that is the run's. */
extern const u8 own_ports[8192];

INLINE int is_own(u16 port)
{
	port = SWAP16(port);
	return own_ports[port >> 3] >> (port & 7) & 1;
}

INLINE void count_lost(int is_sure)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct receipt *receipt = bpf_map_lookup_elem(receipts, &cpu);

	if (!receipt)
		return;
	if (is_sure)
		receipt->lost++;
	else
		receipt->doubtful_lost++;
}

/* One copy for each size, because the verifier wants to know it. */
#define HAND_OVER(kind, limit)                                                    \
	do {                                                                      \
		struct kind *record = bpf_ringbuf_reserve(ring, sizeof(*record), 0); \
		if (!record) {                                                    \
			count_lost(is_sure);                                      \
			return;                                                   \
		}                                                                 \
		record->length = length;                                          \
		if (bpf_xdp_load_bytes(context, 0, record->bytes, length))        \
			bpf_ringbuf_discard(record, 0);                           \
		else                                                              \
			bpf_ringbuf_submit(record, 0);                            \
	} while (0)

INLINE void hand_over(struct xdp_md *context, int is_sure)
{
	u64 length = context->data_end - context->data;

	if (!is_sure && bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) > CONSTANT(RING_HALF)) {
		count_lost(is_sure);
		return;
	}
	/* Opaque, so that the bounds are checked where the verifier looks for them. */
	asm volatile("" : "+r"(length));
	if (length < ETHERNET_BYTES + IP_BYTES)
		return;
	if (length <= SHORT_BYTES) {
		HAND_OVER(short_record, SHORT_BYTES);
	} else {
		if (length > LONG_BYTES)
			length = LONG_BYTES;
		HAND_OVER(long_record, LONG_BYTES);
	}
}

/* An ICMP error quotes the start of what it is about: IP header and at least 8 bytes (RFC 792). */
INLINE void hear_error(struct xdp_md *context, const u8 *type, const void *end)
{
	const struct ip *quoted = (void *)type + ICMP_BYTES;
	const struct udp *ports = (void *)(quoted + 1);
	u64 cookie;
	int is_sure;

	if ((void *)(ports + 1) > end || quoted->version_and_length != 0x45)
		return;
	if (quoted->protocol != PROTOCOL_TCP && quoted->protocol != PROTOCOL_UDP)
		return;
	if (!is_own(ports->from))
		return;
	cookie = cookie_of(SWAP32(quoted->to), SWAP16(ports->to), quoted->protocol);
	is_sure = ports->from == source_port_of(cookie);
	if (quoted->protocol == PROTOCOL_TCP)
		is_sure &= ((const struct tcp *)ports)->sequence == SWAP32(sequence_of(cookie));
	hand_over(context, is_sure);
}

INLINE void hear(struct xdp_md *context)
{
	const void *data = (void *)(long)context->data;
	const void *end = (void *)(long)context->data_end;
	const struct ip *ip = data + ETHERNET_BYTES;
	const struct udp *udp = (void *)(ip + 1);
	const struct tcp *tcp = (void *)(ip + 1);
	u64 cookie;
	int is_sure;

	/* A UDP header is no longer than what an ICMP error starts with. */
	if ((void *)(udp + 1) > end || *(const u16 *)(data + 12) != SWAP16(0x0800))
		return;
	/* No options, no fragment. */
	if (ip->version_and_length != 0x45 || ip->fragment & SWAP16(0x3fff))
		return;
	if (ip->protocol == PROTOCOL_ICMP) {
		hear_error(context, (const u8 *)udp, end);
		return;
	}
	if (ip->protocol != PROTOCOL_TCP && ip->protocol != PROTOCOL_UDP)
		return;
	if (!is_own(udp->to))
		return;
	cookie = cookie_of(SWAP32(ip->from), SWAP16(udp->from), ip->protocol);
	is_sure = udp->to == source_port_of(cookie);
	if (ip->protocol == PROTOCOL_TCP) {
		if ((void *)(tcp + 1) > end)
			return;
		is_sure &= tcp->acknowledgement == SWAP32(sequence_of(cookie) + 1);
	} else {
		const u16 *request_id = (void *)(udp + 1);

		if ((void *)(request_id + 1) > end)
			return;
		is_sure &= *request_id == SWAP16(request_id_of(cookie));
	}
	hand_over(context, is_sure);
}

#endif
