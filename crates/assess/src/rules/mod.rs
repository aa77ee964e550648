//! The registry of rules, in the order of their codes: MS001 and on judge behaviour, MS100 and on
//! judge versions.

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
mod ms015_watch;
mod ms016_large_items;
mod ms017_clock;
mod ms018_sessions;
mod ms100_older_than_newest;
mod ms101_cve_2009_1255;
mod ms102_cve_2009_1494;
mod ms103_cve_2009_2415;
mod ms104_cve_2010_1152;
mod ms105_cve_2011_4971;
mod ms106_cve_2013_0179;
mod ms107_cve_2013_7239;
mod ms108_cve_2013_7290;
mod ms109_cve_2013_7291;
mod ms110_cve_2016_8704;
mod ms111_cve_2016_8705;
mod ms112_cve_2016_8706;
mod ms113_cve_2017_9951;
mod ms114_cve_2018_1000127;
mod ms115_cve_2019_11596;
mod ms116_cve_2019_15026;
mod ms117_cve_2020_10931;
mod ms118_cve_2020_22570;
mod ms119_cve_2021_37519;
mod ms120_cve_2022_48571;
mod ms121_cve_2023_46852;
mod ms122_cve_2023_46853;
mod ms123_cve_2026_47783;
mod ms124_cve_2026_47784;

use crate::rule::Rule;

static RULES: [Rule; 43] = [
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
    ms015_watch::RULE,
    ms016_large_items::RULE,
    ms017_clock::RULE,
    ms018_sessions::RULE,
    ms100_older_than_newest::RULE,
    ms101_cve_2009_1255::RULE,
    ms102_cve_2009_1494::RULE,
    ms103_cve_2009_2415::RULE,
    ms104_cve_2010_1152::RULE,
    ms105_cve_2011_4971::RULE,
    ms106_cve_2013_0179::RULE,
    ms107_cve_2013_7239::RULE,
    ms108_cve_2013_7290::RULE,
    ms109_cve_2013_7291::RULE,
    ms110_cve_2016_8704::RULE,
    ms111_cve_2016_8705::RULE,
    ms112_cve_2016_8706::RULE,
    ms113_cve_2017_9951::RULE,
    ms114_cve_2018_1000127::RULE,
    ms115_cve_2019_11596::RULE,
    ms116_cve_2019_15026::RULE,
    ms117_cve_2020_10931::RULE,
    ms118_cve_2020_22570::RULE,
    ms119_cve_2021_37519::RULE,
    ms120_cve_2022_48571::RULE,
    ms121_cve_2023_46852::RULE,
    ms122_cve_2023_46853::RULE,
    ms123_cve_2026_47783::RULE,
    ms124_cve_2026_47784::RULE,
];

/// The rule that explains why everything else about a server is only `info`.
pub(crate) const ONLY_FROM_HERE_CODE: &str = ms008_only_from_here::CODE;

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
