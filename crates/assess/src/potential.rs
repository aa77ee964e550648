//! How strongly a UDP port could be made to answer, computed from what was read.
//!
//! Nothing is written and no stored value is asked for, so the figures here are worked out and not
//! measured; whoever prints them says so.

use model::StatsTable;

use crate::numbers::grouped;

/// Frame that memcached puts before every datagram, in bytes (protocol.txt, "UDP protocol").
const FRAME_BYTES: u64 = 8;
/// What fits into one reply datagram after the frame, in bytes.
const DATAGRAM_PAYLOAD_BYTES: u64 = 1_392;
/// `get k\r\n` in a datagram of its own, frame included.
const REQUEST_BYTES: u64 = FRAME_BYTES + 7;
/// `VALUE k 0 N\r\n` without its number, and `\r\nEND\r\n` after the value.
const REPLY_WORDS_BYTES: u64 = 19;
/// Larger than any item can be (1 GiB since 1.6); a greater number is no size.
const ITEM_BYTES_MAX: u64 = 1 << 30;

/// Header of an item before 1.5 on 64-bit machines; with `chunk_size` it makes the first class.
const ITEM_HEADER_BYTES: f64 = 48.0;
/// Chunks are rounded up to a multiple of this, in bytes.
const CHUNK_ALIGN_BYTES: u64 = 8;
/// The highest slab class of any release (200 before 1.4.25, 63 since).
const CLASSES_MAX: u64 = 200;
/// What an item holds besides its value at most: header, check number, key of 250 bytes, flags.
const OVERHEAD_BYTES_MAX: u64 = 320;

/// What a `get` of one value would bring back for each byte of the request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Potential {
    /// Size of the value, in bytes.
    pub(crate) value_bytes: u64,
    /// UDP payload received for each byte sent.
    pub(crate) payload_ratio: f64,
}

impl Potential {
    /// For a value of this size; `None` if no value is that large.
    pub(crate) fn of_value(value_bytes: u64) -> Option<Potential> {
        if value_bytes > ITEM_BYTES_MAX {
            return None;
        }
        let digits = value_bytes.to_string().len() as u64;
        let words = value_bytes + REPLY_WORDS_BYTES + digits;
        let reply_bytes = words + FRAME_BYTES * words.div_ceil(DATAGRAM_PAYLOAD_BYTES);
        Some(Potential {
            value_bytes,
            payload_ratio: reply_bytes as f64 / REQUEST_BYTES as f64,
        })
    }

    /// For the largest value that somebody could store there.
    pub(crate) fn planted(settings: &StatsTable) -> Option<Potential> {
        Potential::of_value(settings.integer("item_size_max")?)
    }

    /// For an item of the class whose items are the largest: it is there already, and whoever knows
    /// or guesses its key need not write anything.
    ///
    /// Since 1.5 `stats items` says how much a class holds, and the average counts. Before, the size
    /// of chunks is worked out from the settings, and what no smaller class could hold counts.
    pub(crate) fn stored(items: &StatsTable, settings: Option<&StatsTable>) -> Option<Potential> {
        Potential::by_average(items).or_else(|| Potential::by_class(items, settings?))
    }

    fn by_average(items: &StatsTable) -> Option<Potential> {
        let sizes = items.iter().filter_map(|(row, requested)| {
            let class = row.strip_prefix("items:")?.strip_suffix(":mem_requested")?;
            let requested: u64 = requested.parse().ok()?;
            let number = items.integer(&format!("items:{class}:number"))?;
            requested.checked_div(number)
        });
        sizes.max().and_then(Potential::of_value)
    }

    fn by_class(items: &StatsTable, settings: &StatsTable) -> Option<Potential> {
        let classes = items.iter().filter_map(|(row, number)| {
            let class = row.strip_prefix("items:")?.strip_suffix(":number")?;
            let number: u64 = number.parse().ok()?;
            let class: u64 = class.parse().ok()?;
            (number > 0).then_some(class)
        });
        let below = classes.max()?.checked_sub(1)?;
        let value_bytes = chunk_bytes(below, settings)?.saturating_sub(OVERHEAD_BYTES_MAX);
        Potential::of_value(value_bytes)
    }

    /// The ratio as a whole number.
    pub(crate) fn in_words(self) -> String {
        grouped(self.payload_ratio.round() as u64)
    }
}

/// The size of a chunk of a class before 1.5, as its slab allocator works it out: each class is
/// larger by the growth factor than the one before. 0 for class 0, which holds nothing.
fn chunk_bytes(class: u64, settings: &StatsTable) -> Option<u64> {
    let growth_factor: f64 = settings.text("growth_factor")?.parse().ok()?;
    let is_sensible = growth_factor.is_finite() && growth_factor > 1.0;
    if !is_sensible || class > CLASSES_MAX {
        return None;
    }
    let mut next = settings.integer("chunk_size")? as f64 + ITEM_HEADER_BYTES;
    let mut chunk = 0;
    for _ in 0..class {
        // A float beyond 64 bits becomes the largest integer, and is refused as a size.
        chunk = (next as u64).checked_next_multiple_of(CHUNK_ALIGN_BYTES)?;
        next = chunk as f64 * growth_factor;
    }
    Some(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_as_large_as_servers_say() {
        let mut settings = StatsTable::new();
        settings.push("growth_factor", "1.25");
        settings.push("chunk_size", "48");
        // `stats slabs` of 1.4.4, 1.4.15 and 1.4.33.
        let recorded = [
            (0, 0),
            (1, 96),
            (2, 120),
            (5, 240),
            (13, 1_480),
            (22, 11_104),
            (40, 616_944),
        ];
        for (class, chunk) in recorded {
            assert_eq!(chunk_bytes(class, &settings), Some(chunk), "{class}");
        }
        assert_eq!(chunk_bytes(201, &settings), None);
        for (growth_factor, chunk_size) in [("1", "48"), ("nan", "48"), ("inf", "48"), ("2", "x")] {
            let mut settings = StatsTable::new();
            settings.push("growth_factor", growth_factor);
            settings.push("chunk_size", chunk_size);
            assert_eq!(chunk_bytes(3, &settings), None);
        }
        let mut settings = StatsTable::new();
        settings.push("growth_factor", "1e300");
        settings.push("chunk_size", "18446744073709551615");
        assert_eq!(chunk_bytes(200, &settings), None);
    }

    #[test]
    fn the_highest_class_counts_where_no_average_is_told() {
        let mut settings = StatsTable::new();
        settings.push("growth_factor", "1.25");
        settings.push("chunk_size", "48");
        let mut items = StatsTable::new();
        items.push("items:1:number", "100");
        items.push("items:40:number", "3");
        items.push("items:41:number", "0");
        let stored = Potential::stored(&items, Some(&settings)).unwrap();
        // A chunk of class 39, less what is not value.
        assert_eq!(stored.value_bytes, 493_552 - OVERHEAD_BYTES_MAX);
        assert_eq!(Potential::stored(&items, None), None);
    }

    #[test]
    fn computed_ratios_agree_with_measured_ones() {
        // Values that were planted in servers of our own: their size, the length of their key, and
        // what came back over UDP, key included.
        let measured = [
            (10_240, 4, 10_331),
            (500_000, 7, 502_911),
            (1_000_000, 8, 1_005_785),
        ];
        for (value_bytes, key_bytes, reply_bytes) in measured {
            let potential = Potential::of_value(value_bytes).unwrap();
            let computed = (potential.payload_ratio * 15.0).round() as u64;
            assert_eq!(computed + key_bytes - 1, reply_bytes, "{value_bytes}");
        }
        let default = Potential::of_value(1 << 20).unwrap();
        assert_eq!(default.in_words(), "70,309");
        assert_eq!(Potential::of_value(u64::MAX), None);
    }

    #[test]
    fn the_class_with_the_largest_items_counts() {
        let mut items = StatsTable::new();
        for (row, value) in [
            ("items:1:number", "1000"),
            ("items:1:mem_requested", "64000"),
            ("items:39:number", "2"),
            ("items:39:mem_requested", "1000000"),
            ("items:40:number", "0"),
            ("items:40:mem_requested", "0"),
            ("items:41:mem_requested", "5"),
            ("items:42:number", "1"),
            ("items:42:mem_requested", "99999999999999999999"),
        ] {
            items.push(row, value);
        }
        let stored = Potential::stored(&items, None).unwrap();
        assert_eq!(stored.value_bytes, 500_000);
        assert_eq!(Potential::stored(&StatsTable::new(), None), None);
    }
}
