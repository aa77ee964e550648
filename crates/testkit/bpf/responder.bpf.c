// Millions of hosts that answer port 11211, as one XDP program on the far end of the lab's cable.
//
// Who answers is a function of the seed, the address and the transport, and of nothing else; the
// same function in Rust (`lab::Responder`) is the truth that a scan is held against. Nothing is
// remembered of a connection: every answer is made from the segment that it answers.
//
// Frames are sent back by bpf_redirect to the interface they came from, not by XDP_TX: veth's
// XDP_TX wakes the other end only if that has an XDP program too, a redirect needs no more there
// than NAPI (generic receive offload switched on).
//
// Answers longer than the question grow at the head, where every XDP frame has 256 bytes to spare;
// a frame that was made by a socket has none at its tail.

#include "kernel.h"

#define MEMCACHED_PORT 11211
// Questions about the responder itself go to this UDP port of the gateway.
#define CONTROL_PORT 11209
#define CONTROL_MAGIC 0x4d4c4142
#define CONTROL_WORDS 256

#define BUCKETS 131072
#define BUCKET_NS 1000000
#define CPUS_MAX 128
// One bit for each address of a /10.
#define REPEAT_WORDS 65536

// Bytes of an answer's text; with the headers before it no more than the head can grow by.
#define TEXT_BYTES_MAX 200
#define TEXT_WORDS_MAX (TEXT_BYTES_MAX / 4)

// The loader writes these values into the object file, behind the magic.
struct settings {
	char magic[16];
	__u64 seed;
	__u32 network;
	__u32 mask;
	__u32 gateway;
	// All shares are of 65,536. Somebody answers:
	__u32 answer;
	// Of those who do not: refused, administratively prohibited, answered with a wrong proof.
	__u32 refuse;
	__u32 prohibit;
	__u32 forge;
	// Of those who answer over TCP: once more after the RST.
	__u32 repeat;
	// Of frames: lost, each way.
	__u32 loss;
	// Whether times of arrival are kept.
	__u32 times;
};

const volatile struct settings settings = { .magic = "memsweep-lab-set" };

enum counter {
	FRAMES, // IPv4 frames, those to the gateway left out
	OUTSIDE, // to addresses that are not of the lab's network
	SYNS,
	DATAGRAMS,
	ANSWERED, // frames that were sent back
	LOST, // by order of `settings.loss`
	UNSENT, // answers that could not be made
	COUNTERS
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

// Frames by the millisecond of their arrival, from the first frame on.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BUCKETS);
	__type(key, __u32);
	__type(value, __u32);
} arrivals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} beginning SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REPEAT_WORDS);
	__type(key, __u32);
	__type(value, __u64);
} repeated SEC(".maps");

enum text {
	VERSION,
	VERSION_AND_GET,
	STATS,
	SETTINGS,
	CONNS,
	END,
	META,
	UNKNOWN,
	TEXTS
};

struct reply {
	__u32 bytes;
	char text[TEXT_BYTES_MAX];
};

#define REPLY(words) { sizeof(words) - 1, words }

static const struct reply replies[TEXTS] = {
	[VERSION] = REPLY("VERSION 1.6.18\r\n"),
	[VERSION_AND_GET] = REPLY("VERSION 1.6.18\r\nEND\r\n"),
	[STATS] = REPLY("STAT pid 7\r\nSTAT uptime 86400\r\nSTAT version 1.6.18\r\n"
			"STAT pointer_size 64\r\nSTAT curr_connections 3\r\n"
			"STAT total_connections 9\r\nSTAT curr_items 0\r\nSTAT threads 4\r\n"
			"END\r\n"),
	[SETTINGS] = REPLY("STAT maxconns 1024\r\nSTAT tcpport 11211\r\n"
			   "STAT udpport 11211\r\nSTAT auth_enabled_sasl no\r\nEND\r\n"),
	[CONNS] = REPLY("STAT 27:addr tcp:0.0.0.0:11211\r\nSTAT 27:state conn_listening\r\n"
			"END\r\n"),
	[END] = REPLY("END\r\n"),
	[META] = REPLY("MN\r\n"),
	[UNKNOWN] = REPLY("ERROR\r\n"),
};

// What is taken out of a frame before it is made into its answer.
struct frame {
	__u8 ours[6];
	__u8 theirs[6];
	__be32 host;
	__be32 client;
	__be16 host_port;
	__be16 client_port;
	__u64 hash;
};

static __always_inline void count(__u32 which)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &which);

	if (value)
		*value += 1;
}

// SplitMix64 of the seed and of what is asked.
static __always_inline __u64 hash_of(__u32 address, __u32 is_udp)
{
	__u64 value = settings.seed + ((__u64)address * 2 + is_udp + 1) * 0x9e3779b97f4a7c15ULL;

	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
	value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
	return value ^ (value >> 31);
}

enum fate { ANSWERS, REFUSES, PROHIBITS, FORGES, SILENT };

static __always_inline enum fate fate_of(__u64 hash)
{
	__u32 share = (hash >> 16) & 0xffff;

	if ((hash & 0xffff) < settings.answer)
		return ANSWERS;
	if (share < settings.refuse)
		return REFUSES;
	share -= settings.refuse;
	if (share < settings.prohibit)
		return PROHIBITS;
	share -= settings.prohibit;
	return share < settings.forge ? FORGES : SILENT;
}

static __always_inline int is_lost(void)
{
	if (settings.loss == 0 || (bpf_get_prandom_u32() & 0xffff) >= settings.loss)
		return 0;
	count(LOST);
	return 1;
}

static __always_inline void note_arrival(void)
{
	__u32 zero = 0, bucket;
	__u64 now = bpf_ktime_get_ns(), first;
	__u64 *begin = bpf_map_lookup_elem(&beginning, &zero);
	__u32 *slot;

	if (!begin)
		return;
	first = *begin;
	if (first == 0) {
		first = __sync_val_compare_and_swap(begin, 0, now);
		if (first == 0)
			first = now;
	}
	bucket = now < first ? 0 : (now - first) / BUCKET_NS;
	slot = bpf_map_lookup_elem(&arrivals, &bucket);
	if (slot)
		__sync_fetch_and_add(slot, 1);
}

static __always_inline __u16 folded(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

// Makes the frame so long that `length` bytes fit, whole words for the checksum.
static __always_inline int resize(struct xdp_md *ctx, __u32 length)
{
	int difference = (int)length - (int)(ctx->data_end - ctx->data);

	if (difference > 0)
		return bpf_xdp_adjust_head(ctx, -difference);
	return difference < 0 ? bpf_xdp_adjust_tail(ctx, difference) : 0;
}

static __always_inline int send_back(struct xdp_md *ctx)
{
	if (is_lost())
		return XDP_DROP;
	count(ANSWERED);
	return bpf_redirect(ctx->ingress_ifindex, 0);
}

static __always_inline int not_sent(void)
{
	count(UNSENT);
	return XDP_DROP;
}

static __always_inline void put_ethernet(struct ethhdr *ethernet, const struct frame *frame)
{
	__builtin_memcpy(ethernet->h_dest, frame->theirs, 6);
	__builtin_memcpy(ethernet->h_source, frame->ours, 6);
	ethernet->h_proto = bpf_htons(ETH_P_IP);
}

static __always_inline void put_ip(struct iphdr *ip, const struct frame *frame, __u8 protocol,
				   __u32 bytes)
{
	__u16 *half = (__u16 *)ip;
	__u64 sum = 0;

	ip->version = 4;
	ip->ihl = 5;
	ip->tos = 0;
	ip->tot_len = bpf_htons(sizeof(*ip) + bytes);
	ip->id = 0;
	ip->frag_off = bpf_htons(0x4000);
	ip->ttl = 63;
	ip->protocol = protocol;
	ip->check = 0;
	ip->saddr = frame->host;
	ip->daddr = frame->client;
#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += half[i];
	ip->check = folded(sum);
}

static __always_inline __u64 pseudo_sum(const struct frame *frame, __u8 protocol, __u32 bytes)
{
	return (__u64)frame->host + frame->client + bpf_htons(protocol) + bpf_htons(bytes);
}

// Copies whole words of an answer's text, and returns their sum.
static __always_inline __u64 put_text(__u32 *to, void *data_end, __u32 which)
{
	const struct reply *reply = &replies[which < TEXTS ? which : 0];
	const __u32 *from = (const __u32 *)reply->text;
	__u32 words = (reply->bytes + 3) / 4;
	__u64 sum = 0;

	for (__u32 i = 0; i < TEXT_WORDS_MAX; i++) {
		if (i >= words || (void *)(to + i + 1) > data_end)
			break;
		to[i] = from[i];
		sum += from[i];
	}
	return sum;
}

struct segment {
	__u32 sequence; // of the answer, in our order
	__u32 acknowledged;
	__u16 flags; // as in bytes 12 and 13 of the header, without its length
	__u32 text; // TEXTS for none
};

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10

static __always_inline int send_segment(struct xdp_md *ctx, const struct frame *frame,
					const struct segment *segment)
{
	__u32 has_text = segment->text < TEXTS;
	__u32 bytes = has_text ? replies[segment->text < TEXTS ? segment->text : 0].bytes : 0;
	__u32 padded = (bytes + 3) & ~3U;
	struct ethhdr *ethernet;
	struct iphdr *ip;
	__be32 *tcp;
	void *data_end;
	__u64 sum;

	if (resize(ctx, sizeof(*ethernet) + sizeof(*ip) + 20 + padded))
		return not_sent();
	ethernet = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	ip = (void *)(ethernet + 1);
	tcp = (void *)(ip + 1);
	if ((void *)(tcp + 5) > data_end)
		return not_sent();
	put_ethernet(ethernet, frame);
	put_ip(ip, frame, IPPROTO_TCP, 20 + bytes);
	tcp[0] = frame->host_port | (__u32)frame->client_port << 16;
	tcp[1] = bpf_htonl(segment->sequence);
	tcp[2] = bpf_htonl(segment->acknowledged);
	tcp[3] = bpf_htonl(5U << 28 | (__u32)segment->flags << 16 | 0xfaf0);
	tcp[4] = 0;
	sum = pseudo_sum(frame, IPPROTO_TCP, 20 + bytes);
#pragma unroll
	for (int i = 0; i < 4; i++)
		sum += tcp[i];
	if (has_text)
		sum += put_text((__u32 *)tcp + 5, data_end, segment->text);
	tcp[4] = folded(sum);
	return send_back(ctx);
}

// Which text answers the command at `at`; `bytes` is the length of all that was sent.
static __always_inline __u32 text_for(const char *at, void *data_end, __u32 bytes)
{
	if ((void *)(at + 4) > data_end)
		return UNKNOWN;
	switch (at[0]) {
	case 'v':
		return bytes > 9 ? VERSION_AND_GET : VERSION;
	case 'g':
		return END;
	case 'm':
		return META;
	case 's':
		if ((void *)(at + 7) > data_end || at[5] != ' ')
			return STATS;
		return at[6] == 's' ? SETTINGS : at[6] == 'c' ? CONNS : END;
	default:
		return UNKNOWN;
	}
}

// A RST says that a SYN-ACK went to nobody's connection: a host that has not seen it sends its
// SYN-ACK again. Once for each address, or it would never end.
static __always_inline int is_repeated(__u64 hash, __u32 address)
{
	__u32 word = (address >> 6) & (REPEAT_WORDS - 1);
	__u64 bit = 1ULL << (address & 63);
	__u64 *seen = bpf_map_lookup_elem(&repeated, &word);

	if ((hash >> 48) >= settings.repeat || !seen)
		return 0;
	return (__sync_fetch_and_or(seen, bit) & bit) == 0;
}

static __always_inline int answer_tcp(struct xdp_md *ctx, struct frame *frame, struct tcphdr *tcp,
				      void *data_end, __u32 ip_bytes)
{
	struct segment segment = { .text = TEXTS };
	__u32 header = tcp->doff * 4, address = bpf_ntohl(frame->host), bytes;
	enum fate fate = fate_of(frame->hash);
	__u32 initial = (__u32)(frame->hash >> 24);
	const char *payload = (const char *)tcp + header;

	if (tcp->dest != bpf_htons(MEMCACHED_PORT))
		fate = REFUSES;
	if (tcp->rst) {
		if (fate != ANSWERS || bpf_ntohl(tcp->seq) == 0 ||
		    !is_repeated(frame->hash, address))
			return XDP_DROP;
		// The RST has the number that the SYN-ACK acknowledged.
		segment.sequence = initial;
		segment.acknowledged = bpf_ntohl(tcp->seq);
		segment.flags = TCP_SYN | TCP_ACK;
		return send_segment(ctx, frame, &segment);
	}
	if (tcp->syn) {
		segment.acknowledged = bpf_ntohl(tcp->seq) + (fate == FORGES ? 2 : 1);
		segment.sequence = fate == REFUSES ? 0 : initial;
		segment.flags = fate == REFUSES ? TCP_RST | TCP_ACK : TCP_SYN | TCP_ACK;
		return send_segment(ctx, frame, &segment);
	}
	if (fate != ANSWERS || ip_bytes < sizeof(struct iphdr) + header)
		return XDP_DROP;
	bytes = ip_bytes - sizeof(struct iphdr) - header;
	segment.sequence = bpf_ntohl(tcp->ack_seq);
	segment.acknowledged = bpf_ntohl(tcp->seq) + bytes + tcp->fin;
	segment.flags = TCP_ACK | (bytes ? TCP_PSH : 0) | (tcp->fin ? TCP_FIN : 0);
	if (!bytes && !tcp->fin)
		return XDP_DROP;
	if (bytes)
		segment.text = text_for(payload, data_end, bytes);
	return send_segment(ctx, frame, &segment);
}

static __always_inline int send_datagram(struct xdp_md *ctx, const struct frame *frame,
					 __u16 request_id, __u32 text)
{
	__u32 bytes = 8 + replies[text < TEXTS ? text : 0].bytes;
	__u32 padded = (bytes + 3) & ~3U;
	struct ethhdr *ethernet;
	struct iphdr *ip;
	__be32 *udp;
	void *data_end;
	__u64 sum;
	__u16 check;

	if (resize(ctx, sizeof(*ethernet) + sizeof(*ip) + 8 + padded))
		return not_sent();
	ethernet = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	ip = (void *)(ethernet + 1);
	udp = (void *)(ip + 1);
	if ((void *)(udp + 4) > data_end)
		return not_sent();
	put_ethernet(ethernet, frame);
	put_ip(ip, frame, IPPROTO_UDP, 8 + bytes);
	udp[0] = frame->host_port | (__u32)frame->client_port << 16;
	udp[1] = bpf_htons(8 + bytes);
	// memcached's frame: the id of the request, number 0, of 1, reserved.
	udp[2] = request_id;
	udp[3] = bpf_htons(1);
	sum = pseudo_sum(frame, IPPROTO_UDP, 8 + bytes);
#pragma unroll
	for (int i = 0; i < 4; i++)
		sum += udp[i];
	sum += put_text((__u32 *)udp + 4, data_end, text);
	check = folded(sum);
	udp[1] |= (__u32)(check ? check : 0xffff) << 16;
	return send_back(ctx);
}

static __always_inline int answer_udp(struct xdp_md *ctx, struct frame *frame, struct udphdr *udp,
				      void *data_end)
{
	__u16 *request = (void *)(udp + 1);
	char *command = (char *)request + 8;
	enum fate fate = fate_of(frame->hash);
	__u16 id;
	__u32 text;

	if ((void *)(command + 4) > data_end)
		return XDP_DROP;
	id = request[0];
	text = text_for(command, data_end, 0);
	return send_datagram(ctx, frame, fate == FORGES ? id ^ bpf_htons(0x5555) : id, text);
}

// An ICMP error that quotes the IP header and the first 8 bytes behind it.
static __always_inline int send_unreachable(struct xdp_md *ctx, const struct frame *frame,
					    __u8 code)
{
	const __u32 quoted = sizeof(struct iphdr) + 8, before = sizeof(struct iphdr) + 8;
	struct ethhdr *ethernet;
	struct iphdr *ip;
	__u16 *icmp;
	__u64 sum = 0;

	if (resize(ctx, sizeof(*ethernet) + quoted) || bpf_xdp_adjust_head(ctx, -(int)before))
		return not_sent();
	ethernet = (void *)(long)ctx->data;
	ip = (void *)(ethernet + 1);
	icmp = (void *)(ip + 1);
	if ((void *)((char *)icmp + 8 + quoted) > (void *)(long)ctx->data_end)
		return not_sent();
	put_ethernet(ethernet, frame);
	put_ip(ip, frame, IPPROTO_ICMP, 8 + quoted);
	icmp[0] = bpf_htons(3 << 8 | code);
	icmp[1] = 0;
	icmp[2] = 0;
	icmp[3] = 0;
#pragma unroll
	for (int i = 0; i < 18; i++)
		sum += icmp[i];
	icmp[1] = folded(sum);
	return send_back(ctx);
}

struct control {
	__be32 magic;
	// 0: the counters. 1: times of arrival, CONTROL_WORDS of them, the `page`th.
	__be32 subject;
	__be32 page;
	__be32 words[CONTROL_WORDS];
};

static __always_inline int tell(struct xdp_md *ctx, struct ethhdr *ethernet, struct iphdr *ip,
				struct udphdr *udp, struct control *control)
{
	__u32 page = bpf_ntohl(control->page) & (BUCKETS / CONTROL_WORDS - 1);
	__be32 address = ip->saddr;
	__be16 port = udp->source;
	__u8 hardware[6];

	if (control->subject) {
		for (__u32 i = 0; i < CONTROL_WORDS; i++) {
			__u32 key = page * CONTROL_WORDS + i;
			__u32 *slot = bpf_map_lookup_elem(&arrivals, &key);

			control->words[i] = bpf_htonl(slot ? *slot : 0);
		}
	} else {
		for (__u32 i = 0; i < COUNTERS; i++) {
			__u32 key = i;
			__u64 sum = 0;

			for (__u32 cpu = 0; cpu < CPUS_MAX; cpu++) {
				__u64 *value = bpf_map_lookup_percpu_elem(&counters, &key, cpu);

				sum += value ? *value : 0;
			}
			control->words[2 * i] = bpf_htonl(sum >> 32);
			control->words[2 * i + 1] = bpf_htonl((__u32)sum);
		}
	}
	__builtin_memcpy(hardware, ethernet->h_source, 6);
	__builtin_memcpy(ethernet->h_source, ethernet->h_dest, 6);
	__builtin_memcpy(ethernet->h_dest, hardware, 6);
	// Swapping changes no checksum of IP; UDP over IPv4 may do without one.
	ip->saddr = ip->daddr;
	ip->daddr = address;
	udp->source = udp->dest;
	udp->dest = port;
	udp->check = 0;
	return bpf_redirect(ctx->ingress_ifindex, 0);
}

SEC("xdp")
int responder(struct xdp_md *ctx)
{
	struct ethhdr *ethernet = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	struct frame frame = {};
	__u32 address, ip_bytes, is_udp;
	enum fate fate;

	if ((void *)(udp + 1) > data_end || ethernet->h_proto != bpf_htons(ETH_P_IP) ||
	    ip->ihl != 5)
		return XDP_PASS;
	address = bpf_ntohl(ip->daddr);
	is_udp = ip->protocol == IPPROTO_UDP;
	if (address == settings.gateway) {
		struct control *control = (void *)(udp + 1);

		if (!is_udp || udp->dest != bpf_htons(CONTROL_PORT))
			return XDP_PASS;
		if ((void *)(control + 1) > data_end ||
		    control->magic != bpf_htonl(CONTROL_MAGIC))
			return XDP_DROP;
		return tell(ctx, ethernet, ip, udp, control);
	}
	count(FRAMES);
	if ((address & settings.mask) != settings.network) {
		count(OUTSIDE);
		return XDP_DROP;
	}
	if (settings.times)
		note_arrival();
	if (is_udp)
		count(DATAGRAMS);
	else if ((void *)(tcp + 1) <= data_end && tcp->syn)
		count(SYNS);
	if (is_lost() || !(is_udp || ip->protocol == IPPROTO_TCP))
		return XDP_DROP;

	__builtin_memcpy(frame.ours, ethernet->h_dest, 6);
	__builtin_memcpy(frame.theirs, ethernet->h_source, 6);
	frame.host = ip->daddr;
	frame.client = ip->saddr;
	frame.client_port = udp->source;
	frame.host_port = udp->dest;
	frame.hash = hash_of(address, is_udp);
	ip_bytes = bpf_ntohs(ip->tot_len);
	fate = fate_of(frame.hash);
	if (fate == SILENT)
		return XDP_DROP;
	if (fate == PROHIBITS)
		return send_unreachable(ctx, &frame, 13);
	if (is_udp) {
		if (fate == REFUSES || udp->dest != bpf_htons(MEMCACHED_PORT))
			return send_unreachable(ctx, &frame, 3);
		return answer_udp(ctx, &frame, udp, data_end);
	}
	if ((void *)(tcp + 1) > data_end)
		return XDP_DROP;
	return answer_tcp(ctx, &frame, tcp, data_end, ip_bytes);
}

// Counts as received whatever comes, and forgets it: for measuring how fast somebody sends. What
// goes to the gateway itself, and ARP, is the kernel's.
SEC("xdp")
int sink(struct xdp_md *ctx)
{
	struct ethhdr *ethernet = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(ethernet + 1);

	if ((void *)(ip + 1) > (void *)(long)ctx->data_end ||
	    ethernet->h_proto != bpf_htons(ETH_P_IP) ||
	    bpf_ntohl(ip->daddr) == settings.gateway)
		return XDP_PASS;
	return XDP_DROP;
}

// No helper that is used here asks for more.
char licence[] SEC("license") = "MIT OR Apache-2.0";
