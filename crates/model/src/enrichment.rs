//! What files of the administrator's own say about an address. No server said any of it.

/// Whose an address is and where, as far as the user's own files know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enrichment {
    /// The name that the address resolves to (PTR), asked of this system's resolver.
    pub reverse_name: Option<String>,
    /// Number of the autonomous system that announces it.
    pub asn: Option<u32>,
    /// Name of that autonomous system.
    pub as_name: Option<String>,
    /// Country, as its two letters of ISO 3166-1.
    pub country: Option<String>,
    /// Who administers it.
    pub owner: Option<String>,
    /// Words of the administrator's own, such as `production`.
    pub tags: Vec<String>,
}

impl Enrichment {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Enrichment::default()
    }
}
