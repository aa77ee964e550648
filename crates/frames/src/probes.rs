//! From a stint to the probes in it: what engines share that make their frames in this process.

use std::sync::atomic::Ordering;

use model::Address;
use sweep::frame::Probe;
use sweep::reach::{Hop, Way};
use sweep::schedule::{Answered, Stint};
use targets::Permit;

use crate::FramesError;
use crate::engine::Ground;

/// Calls `take` for every probe of the stint, TCP before UDP for each pair, with the place of its hop
/// in [`sweep::reach::Reach::hops`]. Endpoints whose bit is set are left out, and so are addresses
/// that no hop reaches. Ends at the first error.
pub(crate) fn for_each_probe(
    ground: &Ground,
    answered: &Answered,
    permit: &Permit,
    stint: &Stint,
    mut take: impl FnMut(&Probe, usize, &Hop) -> Result<(), FramesError>,
) -> Result<(), FramesError> {
    let words = answered.words();
    let hops = ground.reach.hops();
    let wanted = u64::from(ground.stream) | u64::from(ground.datagram) << 1;
    for counter in stint.from..stint.to {
        // Two bits a pair, 32 pairs a word: see `Answered`.
        let word = words[(counter / 32) as usize].load(Ordering::Relaxed);
        let open = wanted & !(word >> (counter % 32 * 2));
        if open == 0 {
            continue;
        }
        let Some(index) = ground.order.index_at(counter) else {
            break;
        };
        let pair = permit.selection().pair(index);
        let Address::Ip(address) = pair.address else {
            continue;
        };
        let Way::Hop(place) = ground.reach.way(address) else {
            continue;
        };
        let place = place as usize;
        for (bit, stream) in [(1, true), (2, false)] {
            if open & bit != 0 {
                let probe = Probe {
                    address,
                    port: pair.port,
                    stream,
                };
                take(&probe, place, &hops[place])?;
            }
        }
    }
    Ok(())
}
