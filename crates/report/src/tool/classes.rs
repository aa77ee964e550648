//! The rows of `stats items` and `stats slabs`, gathered by slab class.

use std::collections::BTreeMap;

use model::StatsTable;

/// What is known of one slab class; rows keep the server's order.
#[derive(Clone, Debug, Default)]
pub(super) struct Class<'a> {
    /// Rows of `stats items`.
    pub(super) items: Vec<(&'a str, &'a str)>,
    /// Rows of `stats slabs`.
    pub(super) slabs: Vec<(&'a str, &'a str)>,
}

/// All slab classes, and the rows of `stats slabs` that belong to none.
#[derive(Clone, Debug, Default)]
pub(super) struct Classes<'a> {
    /// By class number.
    pub(super) by_number: BTreeMap<u32, Class<'a>>,
    /// `active_slabs` and `total_malloced`, and whatever else stands alone.
    pub(super) alone: Vec<(&'a str, &'a str)>,
}

impl<'a> Classes<'a> {
    /// Gathers the rows.
    pub(super) fn of(items: Option<&'a StatsTable>, slabs: Option<&'a StatsTable>) -> Classes<'a> {
        let mut classes = Classes::default();
        for (name, value) in items.into_iter().flat_map(StatsTable::iter) {
            let row = name.strip_prefix("items:").and_then(class_and_field);
            match row {
                Some((class, field)) => classes.class(class).items.push((field, value)),
                None => classes.alone.push((name, value)),
            }
        }
        for (name, value) in slabs.into_iter().flat_map(StatsTable::iter) {
            match class_and_field(name) {
                Some((class, field)) => classes.class(class).slabs.push((field, value)),
                None => classes.alone.push((name, value)),
            }
        }
        classes
    }

    fn class(&mut self, number: u32) -> &mut Class<'a> {
        self.by_number.entry(number).or_default()
    }

    /// The sum of what every class says; `None` if none says it.
    pub(super) fn sum(&self, figure: impl Fn(&Class<'a>) -> Option<u64>) -> Option<u64> {
        self.by_number
            .values()
            .filter_map(figure)
            .reduce(u64::saturating_add)
    }
}

impl Class<'_> {
    /// An integer of `stats items`.
    pub(super) fn item_integer(&self, name: &str) -> Option<u64> {
        integer(&self.items, name)
    }

    /// An integer of `stats slabs`.
    pub(super) fn slab_integer(&self, name: &str) -> Option<u64> {
        integer(&self.slabs, name)
    }

    /// Bytes of the pages that the class holds.
    pub(super) fn memory_bytes(&self) -> Option<u64> {
        self.slab_integer("total_chunks")?
            .checked_mul(self.slab_integer("chunk_size")?)
    }

    /// Bytes of the chunks that items lie in.
    pub(super) fn used_bytes(&self) -> Option<u64> {
        self.slab_integer("used_chunks")?
            .checked_mul(self.slab_integer("chunk_size")?)
    }

    /// Bytes that the items themselves need: said by `stats slabs` since 1.4.1, and by
    /// `stats items` in its place in newer versions.
    pub(super) fn requested_bytes(&self) -> Option<u64> {
        self.item_integer("mem_requested")
            .or_else(|| self.slab_integer("mem_requested"))
    }

    /// Whether the class holds any page or item; one that was emptied keeps its rows.
    pub(super) fn is_used(&self) -> bool {
        let none = |figure: Option<u64>| figure.unwrap_or(0) == 0;
        !(none(self.slab_integer("total_pages")) && none(self.item_integer("number")))
    }
}

fn integer(rows: &[(&str, &str)], name: &str) -> Option<u64> {
    rows.iter()
        .find(|(row, _)| *row == name)
        .and_then(|(_, value)| value.parse().ok())
}

fn class_and_field(name: &str) -> Option<(u32, &str)> {
    let (class, field) = name.split_once(':')?;
    Some((class.parse().ok()?, field))
}
