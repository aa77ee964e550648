//! Words of the tool that looks into one server.

/// A key of a listing, decoded once. Its name is bytes, because servers allow any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRow {
    /// The key's name.
    pub name: Vec<u8>,
    /// When it expires, in seconds since the Unix epoch by the server's clock; `None` = never.
    pub expires_unix_s: Option<i64>,
    /// When it was last used, likewise; `None` if the listing does not tell.
    pub last_access_unix_s: Option<i64>,
    /// Its compare-and-swap number.
    pub cas: Option<u64>,
    /// Whether it was read since it was stored.
    pub fetched: Option<bool>,
    /// Its slab class.
    pub class: Option<u32>,
    /// Its size in bytes: of the whole item (metadump), or of the value alone (cachedump).
    pub size_bytes: Option<u64>,
}
