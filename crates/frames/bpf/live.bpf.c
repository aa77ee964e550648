/* The program of the `live` engine: attached to the interfaces it hears answers, run by a thread
 * it makes probes.
 *
 * It is one program, because the kernel spends 20 ms on every run of a program that is attached
 * nowhere (it rebuilds the table that its direct calls go through and waits for all CPUs).
 * Which of the two it is asked for says the interface that the frame is told to come from: runs
 * name loopback, to which it is never attached.
 */
#include "generate.h"
#include "receive.h"

SECTION("xdp") int live(struct xdp_md *context)
{
	if (context->ingress_ifindex == (u32)CONSTANT(RUN_INTERFACE))
		return generate(context);
	hear(context);
	return XDP_PASS;
}
