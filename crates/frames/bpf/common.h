/* What the programs of this folder share: the kernel's interface as far as they use it, and how
 * they get their numbers.
 *
 * Maps, values and constants are symbols that the loader (src/bpf/) fills in: maps by their file
 * descriptors, values by the address of a map's only element, constants as they are. So a constant
 * stands in the program's own instructions, where nobody can change it any more.
 */
#ifndef COMMON_H
#define COMMON_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

/* include/uapi/linux/bpf.h */
struct xdp_md {
	u32 data;
	u32 data_end;
	u32 data_meta;
	u32 ingress_ifindex;
	u32 rx_queue_index;
	u32 egress_ifindex;
};

enum { XDP_DROP = 1, XDP_PASS = 2 };

enum { BPF_RB_AVAIL_DATA = 0 };

static void *(*const bpf_map_lookup_elem)(const void *map, const void *key) = (void *)1;
static u32 (*const bpf_get_smp_processor_id)(void) = (void *)8;
static long (*const bpf_redirect)(u32 interface, u64 flags) = (void *)23;
static void *(*const bpf_ringbuf_reserve)(const void *ring, u64 size, u64 flags) = (void *)131;
static void (*const bpf_ringbuf_submit)(void *record, u64 flags) = (void *)132;
static void (*const bpf_ringbuf_discard)(void *record, u64 flags) = (void *)133;
static u64 (*const bpf_ringbuf_query)(const void *ring, u64 flags) = (void *)134;
static long (*const bpf_xdp_load_bytes)(struct xdp_md *context, u32 offset, void *into,
					u32 length) = (void *)189;

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* A 64-bit number that the loader writes into the program. In assembly, because the compiler
 * would assume of an address that it is not 0.
 */
#define CONSTANT(name)                                        \
	({                                                    \
		u64 constant;                                 \
		asm("%0 = " #name " ll" : "=r"(constant));   \
		constant;                                     \
	})

/* Byte order: these programs are little-endian, networks are not. */
#define SWAP16(value) __builtin_bswap16(value)
#define SWAP32(value) __builtin_bswap32(value)

#endif
