//! The registry of rules, in the order of their codes.

mod ms001_open;
mod ms002_reflector;
mod ms003_bound_everywhere;
mod ms004_cleartext;
mod ms005_flush_all;
mod ms006_dumps;
mod ms007_shutdown;
mod ms008_only_from_here;
mod ms009_udp_bypasses_auth;
mod ms010_udp_beside_tls;
mod ms011_decoy;
mod ms012_client_addresses;
mod ms013_proxy;
mod ms014_other_source;

use crate::rule::Rule;

static RULES: [Rule; 14] = [
    ms001_open::RULE,
    ms002_reflector::RULE,
    ms003_bound_everywhere::RULE,
    ms004_cleartext::RULE,
    ms005_flush_all::RULE,
    ms006_dumps::RULE,
    ms007_shutdown::RULE,
    ms008_only_from_here::RULE,
    ms009_udp_bypasses_auth::RULE,
    ms010_udp_beside_tls::RULE,
    ms011_decoy::RULE,
    ms012_client_addresses::RULE,
    ms013_proxy::RULE,
    ms014_other_source::RULE,
];

/// The rule that explains why everything else about a server is only `info`.
pub(crate) const ONLY_FROM_HERE_CODE: &str = ms008_only_from_here::RULE.code;

/// All rules, in the order of their codes.
pub fn rules() -> &'static [Rule] {
    &RULES
}

/// The rule of a code; upper and lower case are the same.
pub fn explain(code: &str) -> Option<&'static Rule> {
    RULES
        .iter()
        .find(|rule| rule.code.eq_ignore_ascii_case(code))
}

#[cfg(test)]
mod tests;
