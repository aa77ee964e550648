/* Makes probes: slot -> counter and transport -> pair of the permit -> address, port and hop ->
 * frame. It knows nobody but whom the segments hold, and those are the permit's; the map is frozen
 * before the first run. Whatever is not found is not sent.
 */
#ifndef GENERATE_H
#define GENERATE_H

#include "cookie.h"

/* A probe's frame: Ethernet, IPv4, and TCP with its MSS option or UDP with 17 bytes; padded. */
#define FRAME_BYTES 60

/* Passes of the permutation at most. Of the domain at least half are pairs, so that a walk of this
 * length has a chance of 2^-256.
 */
#define WALK_MAX 256

/* Steps of the search at most: 2^21 segments. */
#define SEARCH_MAX 21

#define NO_HOP 0xffffffffu

/* What one CPU is sending. Shared with its thread, which waits meanwhile. */
struct work {
	u64 next;
	u64 end;
	/* Probes made. */
	u64 frames;
	/* Slots that could not be worked out. Stays 0. */
	u64 failed;
	/* The pair of the last slot, because its UDP probe follows its TCP probe: the counter and 1,
	 * address and port in host order, and the hop.
	 */
	u64 counter_and_1;
	u32 address;
	u32 port;
	u32 hop;
	u32 unused[3];
};

/* Consecutive pairs that are reached alike: addresses from `first` on with `ports` ports each. */
struct segment {
	/* The number of the first pair, and the one behind the last. */
	u64 offset;
	u64 end;
	u32 first;
	u32 hop;
	/* The only port, or the place of the first one in `ports`. */
	u32 port;
	u32 ports;
};

struct hop {
	/* Bytes 0..16 of the frame: Ethernet header, and version and type of service of IPv4. */
	u64 words[2];
	/* Our own address in network order, and the sum of its halves. */
	u32 source;
	u32 source_sum;
	u32 interface;
	u32 unused;
};

extern const char works[], answered[], segments[], ports[], hops[];

INLINE u64 scramble(u64 input)
{
	u64 mixed = (input ^ input >> 30) * 0xbf58476d1ce4e5b9ull;

	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebull;
	return mixed ^ mixed >> 31;
}

/* One pass of the Feistel network, see crates/targets/src/order.rs. */
INLINE u64 shuffle(u64 number)
{
	u64 left_mask = CONSTANT(LEFT_MASK);
	u64 right_mask = CONSTANT(RIGHT_MASK);
	u64 right_bits = CONSTANT(RIGHT_BITS);
	u64 left = number >> right_bits;
	u64 right = number & right_mask;

	left ^= scramble(right ^ CONSTANT(ROUND_KEY_0)) & left_mask;
	right ^= scramble(left ^ CONSTANT(ROUND_KEY_1)) & right_mask;
	left ^= scramble(right ^ CONSTANT(ROUND_KEY_2)) & left_mask;
	right ^= scramble(left ^ CONSTANT(ROUND_KEY_3)) & right_mask;
	left ^= scramble(right ^ CONSTANT(ROUND_KEY_4)) & left_mask;
	right ^= scramble(left ^ CONSTANT(ROUND_KEY_5)) & right_mask;
	return left << right_bits | right;
}

/* The segment with the largest offset that is not above `index`, if there is one. */
INLINE const struct segment *segment_of(u64 index)
{
	u32 place = 0;
	u64 step = CONSTANT(SEGMENT_STEP);

	for (int count = 0; count < SEARCH_MAX && step; count++, step >>= 1) {
		u32 candidate = place + (u32)step;
		const struct segment *segment = bpf_map_lookup_elem(segments, &candidate);

		if (segment && segment->offset <= index)
			place = candidate;
	}
	return bpf_map_lookup_elem(segments, &place);
}

/* Finds out whom a counter means; false if that could not be worked out. */
INLINE int find(struct work *work, u64 counter)
{
	u64 pairs = CONSTANT(PAIRS);
	u64 index;
	const struct segment *segment;

	work->counter_and_1 = 0;
	if (UNLIKELY(counter >= CONSTANT(ORDER_LENGTH)))
		return 0;
	index = shuffle(CONSTANT(SHARD_FIRST) + counter * CONSTANT(SHARD_OF));
	for (int pass = 1; pass < WALK_MAX && index >= pairs; pass++)
		index = shuffle(index);
	if (UNLIKELY(index >= pairs))
		return 0;

	work->hop = NO_HOP;
	segment = segment_of(index);
	if (segment && index >= segment->offset && index < segment->end) {
		u32 place = (u32)(index - segment->offset);

		if (LIKELY(segment->ports == 1)) {
			work->port = segment->port;
		} else {
			u32 key = segment->port + place % segment->ports;
			const u16 *port = bpf_map_lookup_elem(ports, &key);

			if (!port)
				return 0;
			work->port = *port;
			place /= segment->ports;
		}
		work->address = segment->first + place;
		work->hop = segment->hop;
	}
	work->counter_and_1 = counter + 1;
	return 1;
}

/* The Internet checksum (RFC 1071) of a sum of 16-bit words. */
INLINE u64 checksum(u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

INLINE u64 halves(u32 word)
{
	return (word & 0xffff) + (word >> 16);
}

/* Writes the whole frame, because pages come back as others have changed them. All words but the
 * variable fields come from the frames that the sweep makes elsewhere.
 */
INLINE int emit(struct xdp_md *context, const struct work *work, u64 is_datagram)
{
	u64 *frame = (void *)(long)context->data;
	u32 hop_place = work->hop;
	const struct hop *hop = bpf_map_lookup_elem(hops, &hop_place);
	u32 to = SWAP32(work->address);
	u64 to_port = SWAP16((u16)work->port);
	u64 cookie, from_port, addresses_sum;

	if (!hop || (void *)frame + FRAME_BYTES > (void *)(long)context->data_end)
		return XDP_DROP;
	addresses_sum = hop->source_sum + halves(to);
	frame[0] = hop->words[0];
	frame[1] = hop->words[1];
	if (is_datagram) {
		u64 request_id, sum;

		cookie = cookie_of(work->address, work->port, PROTOCOL_UDP);
		from_port = source_port_of(cookie);
		request_id = SWAP16(request_id_of(cookie));
		sum = checksum(CONSTANT(UDP_SUM) + addresses_sum + from_port + to_port + request_id);
		/* 0 would mean that there is none (RFC 768). */
		if (UNLIKELY(sum == 0))
			sum = 0xffff;
		frame[2] = CONSTANT(UDP_2);
		frame[3] = checksum(CONSTANT(UDP_IP_SUM) + addresses_sum) |
			   (u64)hop->source << 16 | (u64)to << 48;
		frame[4] = CONSTANT(UDP_4) | to >> 16 | from_port << 16 | to_port << 32;
		frame[5] = CONSTANT(UDP_5) | sum | request_id << 16;
		frame[6] = CONSTANT(UDP_6);
		*(u32 *)&frame[7] = CONSTANT(UDP_7);
	} else {
		u32 sequence;
		u64 sum;

		cookie = cookie_of(work->address, work->port, PROTOCOL_TCP);
		from_port = source_port_of(cookie);
		sequence = SWAP32(sequence_of(cookie));
		sum = checksum(CONSTANT(TCP_SUM) + addresses_sum + from_port + to_port +
			       halves(sequence));
		frame[2] = CONSTANT(TCP_2);
		frame[3] = checksum(CONSTANT(TCP_IP_SUM) + addresses_sum) |
			   (u64)hop->source << 16 | (u64)to << 48;
		frame[4] = to >> 16 | from_port << 16 | to_port << 32 | (u64)sequence << 48;
		frame[5] = CONSTANT(TCP_5) | sequence >> 16;
		frame[6] = CONSTANT(TCP_6) | sum << 16;
		*(u32 *)&frame[7] = CONSTANT(TCP_7);
	}
	return bpf_redirect(hop->interface, 0);
}

INLINE int generate(struct xdp_md *context)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct work *work = bpf_map_lookup_elem(works, &cpu);
	u64 slot, counter, is_datagram;
	u32 word;
	const u64 *bits;
	int action;

	if (!work)
		return XDP_DROP;
	slot = work->next;
	if (slot >= work->end)
		return XDP_DROP;
	work->next = slot + 1;
	counter = slot >> CONSTANT(TRANSPORT_SHIFT);
	is_datagram = (slot & CONSTANT(BOTH)) | CONSTANT(ONLY_DATAGRAM);

	word = counter >> 5;
	bits = bpf_map_lookup_elem(answered, &word);
	if (!bits) {
		work->failed++;
		return XDP_DROP;
	}
	if (*bits >> ((counter & 31) * 2 + is_datagram) & 1)
		return XDP_DROP;

	if (work->counter_and_1 != counter + 1 && !find(work, counter)) {
		work->failed++;
		return XDP_DROP;
	}
	if (work->hop == NO_HOP)
		return XDP_DROP;
	action = emit(context, work, is_datagram);
	if (action == XDP_DROP)
		work->failed++;
	else
		work->frames++;
	return action;
}

#endif
