//! What the package of a distribution says about a flaw that its version string only suggests.
//!
//! A distribution keeps the version of upstream and mends it: memcached 1.4.15 of Enterprise Linux
//! 7 has carried the fix of CVE-2016-8704 since its release 10.el7_3.1, and still says `1.4.15`.
//! Who can ask for the package's full version on the machine itself turns a finding that is
//! `possible` into one that is `confirmed`, or makes it disappear.

use std::cmp::Ordering;

use model::{Confidence, Finding, Text};

use crate::UpstreamVersion;
use crate::rules::explain;

/// Whose package it is, with the number of the major release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Debian 12 and its kind.
    Debian(u32),
    /// Red Hat Enterprise Linux 7, CentOS 7 and the other rebuilds.
    EnterpriseLinux(u32),
    /// Any other: no release of its packages is known here.
    Other,
}

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Whose it is.
    pub distribution: Distribution,
    /// Its name, such as `memcached`.
    pub name: String,
    /// Its full version, as `dpkg-query -W` or `rpm -q --qf '%{EVR}'` gives it:
    /// `1.6.18-1+deb12u1`, `1.4.15-10.el7_3.1`.
    pub version: String,
}

/// Whether a package has a flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VendorFix {
    /// It does not: its vendor mended it, or its upstream release never had it.
    Fixed,
    /// It does: the release that mends it is newer.
    NotFixed,
    /// Nothing is known of it here; its changelog tells.
    Unknown,
}

/// The release of a vendor's package that first carries a fix.
struct Release {
    cve: &'static str,
    distribution: Distribution,
    version: &'static str,
}

const fn release(cve: &'static str, distribution: Distribution, version: &'static str) -> Release {
    Release {
        cve,
        distribution,
        version,
    }
}

/// From the changelogs of the packages, and the advisories RHSA-2016:2819 and RHSA-2016:2820.
const RELEASES: [Release; 15] = {
    use Distribution::{Debian, EnterpriseLinux};
    const EL6: &str = "1.4.4-3.el6_8.1";
    const EL7: &str = "1.4.15-10.el7_3.1";
    const BOOKWORM: &str = "1.6.18-1+deb12u1";
    [
        release("CVE-2011-4971", EnterpriseLinux(7), "1.4.15-6"),
        release("CVE-2013-0179", EnterpriseLinux(7), "1.4.15-8"),
        release("CVE-2013-7290", EnterpriseLinux(7), "1.4.15-8"),
        release("CVE-2013-7291", EnterpriseLinux(7), "1.4.15-8"),
        release("CVE-2013-7239", EnterpriseLinux(7), "1.4.15-10"),
        release("CVE-2016-8704", EnterpriseLinux(7), EL7),
        release("CVE-2016-8705", EnterpriseLinux(7), EL7),
        release("CVE-2016-8706", EnterpriseLinux(7), EL7),
        release("CVE-2016-8704", EnterpriseLinux(6), EL6),
        release("CVE-2016-8705", EnterpriseLinux(6), EL6),
        release("CVE-2016-8706", EnterpriseLinux(6), EL6),
        release("CVE-2023-46852", Debian(12), BOOKWORM),
        release("CVE-2023-46853", Debian(12), BOOKWORM),
        release("CVE-2026-47783", Debian(12), BOOKWORM),
        release("CVE-2026-47784", Debian(12), BOOKWORM),
    ]
};

impl Distribution {
    /// By `ID` and `VERSION_ID` of os-release(5).
    pub fn of_os_release(id: &str, version_id: &str) -> Distribution {
        let major = version_id.split('.').next().unwrap_or_default().parse();
        match (id, major) {
            ("debian", Ok(major)) => Distribution::Debian(major),
            ("rhel" | "centos" | "almalinux" | "rocky" | "ol" | "scientific", Ok(major)) => {
                Distribution::EnterpriseLinux(major)
            }
            _ => Distribution::Other,
        }
    }

    /// Which of two versions of its packages is newer.
    fn compare(self, one: &str, other: &str) -> Ordering {
        match self {
            Distribution::Debian(_) => compare_versions(one, other, compare_debian),
            Distribution::EnterpriseLinux(_) | Distribution::Other => {
                compare_versions(one, other, compare_rpm)
            }
        }
    }
}

impl Package {
    /// The release of upstream that it is made from.
    pub fn upstream(&self) -> Option<UpstreamVersion> {
        let (_, version, _) = parts(&self.version);
        let is_number = |letter: char| letter.is_ascii_digit() || letter == '.';
        let end = version.find(|letter| !is_number(letter));
        UpstreamVersion::parse(&version[..end.unwrap_or(version.len())])
    }
}

/// Whether a package has the flaw that the rule of this code is about.
///
/// [`VendorFix::Unknown`] for rules on behaviour and for packages that no release is known of.
pub fn vendor_fix(code: &str, package: &Package) -> VendorFix {
    let flaw = explain(code).and_then(|rule| rule.flaw.as_ref());
    let (Some(flaw), "memcached") = (flaw, package.name.as_str()) else {
        return VendorFix::Unknown;
    };
    if package
        .upstream()
        .is_some_and(|upstream| !flaw.affects(upstream))
    {
        return VendorFix::Fixed;
    }
    let known = RELEASES
        .iter()
        .find(|one| Some(one.cve) == flaw.cve && one.distribution == package.distribution);
    match known {
        None => VendorFix::Unknown,
        Some(known) => match package
            .distribution
            .compare(&package.version, known.version)
        {
            Ordering::Less => VendorFix::NotFixed,
            Ordering::Equal | Ordering::Greater => VendorFix::Fixed,
        },
    }
}

/// A finding as it stands once the package is known: gone if the package carries the fix, confirmed
/// if it does not, and otherwise as it was, the package named in its evidence.
pub fn settle(mut finding: Finding, package: &Package) -> Option<Finding> {
    let is_of_version = explain(finding.code).is_some_and(|rule| rule.flaw.is_some());
    if !is_of_version {
        return Some(finding);
    }
    let name = format!("{} {}", package.name, package.version);
    match vendor_fix(finding.code, package) {
        VendorFix::Fixed => return None,
        VendorFix::NotFixed => {
            finding.confidence = Confidence::Confirmed;
            finding.evidence.push(Text::new(
                format!("package {name} is older than the one that carries the fix"),
                format!("パッケージ {name} は、修正を含むパッケージより古い"),
            ));
        }
        VendorFix::Unknown => finding.evidence.push(Text::new(
            format!("package {name}: its changelog tells whether it carries the fix"),
            format!("パッケージ {name}。修正を含むかどうかは changelog で確認する"),
        )),
    }
    Some(finding)
}

/// Epoch, version and release of a package's version: `[EPOCH:]VERSION[-RELEASE]`.
fn parts(text: &str) -> (u64, &str, &str) {
    let (epoch, rest) = match text.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, text),
    };
    let (version, release) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, version, release)
}

fn compare_versions(one: &str, other: &str, compare: fn(&str, &str) -> Ordering) -> Ordering {
    let (one_epoch, one_version, one_release) = parts(one);
    let (other_epoch, other_version, other_release) = parts(other);
    one_epoch
        .cmp(&other_epoch)
        .then_with(|| compare(one_version, other_version))
        .then_with(|| compare(one_release, other_release))
}

/// By the rules of deb-version(7): runs of non-digits and of digits in turn; `~` comes before
/// everything, the end of the text included, and letters come before other characters.
fn compare_debian(mut one: &str, mut other: &str) -> Ordering {
    // Each turn makes at least one of the texts shorter.
    while !one.is_empty() || !other.is_empty() {
        let (one_words, one_rest) = run(one, |letter| !letter.is_ascii_digit());
        let (other_words, other_rest) = run(other, |letter| !letter.is_ascii_digit());
        let (one_digits, one_rest) = run(one_rest, |letter| letter.is_ascii_digit());
        let (other_digits, other_rest) = run(other_rest, |letter| letter.is_ascii_digit());
        let order = compare_words(one_words, other_words)
            .then_with(|| compare_digits(one_digits, other_digits));
        if order != Ordering::Equal {
            return order;
        }
        (one, other) = (one_rest, other_rest);
    }
    Ordering::Equal
}

fn compare_words(one: &str, other: &str) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    };
    let (one, other) = (one.as_bytes(), other.as_bytes());
    (0..one.len().max(other.len()))
        .map(|index| weight(one.get(index)).cmp(&weight(other.get(index))))
        .find(|order| *order != Ordering::Equal)
        .unwrap_or(Ordering::Equal)
}

/// By the rules of rpm (rpm-version(7)): segments of digits or of letters; digits are newer than
/// letters, and more segments are newer than fewer, but `~` comes before the end of the text.
fn compare_rpm(mut one: &str, mut other: &str) -> Ordering {
    loop {
        one = after_separators(one);
        other = after_separators(other);
        match (one.strip_prefix('~'), other.strip_prefix('~')) {
            (Some(one_rest), Some(other_rest)) => {
                (one, other) = (one_rest, other_rest);
                continue;
            }
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
        if one.is_empty() || other.is_empty() {
            return one.len().cmp(&other.len());
        }
        let by_digits = (starts_with_digit(one), starts_with_digit(other));
        let kind: fn(char) -> bool = if by_digits.0 {
            |letter| letter.is_ascii_digit()
        } else {
            |letter| letter.is_ascii_alphabetic()
        };
        let (one_segment, one_rest) = run(one, kind);
        let (other_segment, other_rest) = run(other, kind);
        let order = match by_digits {
            (true, true) => compare_digits(one_segment, other_segment),
            (false, false) => one_segment.cmp(other_segment),
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
        };
        if order != Ordering::Equal {
            return order;
        }
        (one, other) = (one_rest, other_rest);
    }
}

fn after_separators(text: &str) -> &str {
    text.trim_start_matches(|letter: char| !letter.is_ascii_alphanumeric() && letter != '~')
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_digit())
}

/// Numbers of any length, leading zeros aside.
fn compare_digits(one: &str, other: &str) -> Ordering {
    let (one, other) = (one.trim_start_matches('0'), other.trim_start_matches('0'));
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

/// The letters of one kind at the start of a text, and what follows them.
fn run(text: &str, kind: fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|letter| !kind(letter)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flaw::{Gate, cases};

    fn package(distribution: Distribution, version: &str) -> Package {
        Package {
            distribution,
            name: "memcached".into(),
            version: version.into(),
        }
    }

    #[test]
    fn versions_are_ordered_as_their_own_tools_do() {
        let debian = [
            "1.6.18~rc1-1",
            "1.6.18-1",
            "1.6.18-1+deb12u1",
            "1.6.18-1+deb12u2",
            "1.6.18-1+deb12u10",
            "1.6.18-2",
            "1.6.18+dfsg-1",
            "1.6.38-1",
            "1:1.0-1",
        ];
        let enterprise_linux = [
            "1.4.4-3.el6",
            "1.4.4-3.el6_8.1",
            "1.4.15-6.el7",
            "1.4.15-9.el7",
            "1.4.15-10.el7",
            "1.4.15-10.el7_3.1",
            "1.4.15-10.el7_3.2",
            "1.6.9-1.el9~rc1",
            "1.6.9-1.el9",
            "1:1.0-1",
        ];
        for (distribution, ordered) in [
            (Distribution::Debian(12), &debian[..]),
            (Distribution::EnterpriseLinux(7), &enterprise_linux[..]),
        ] {
            for (index, one) in ordered.iter().enumerate() {
                for (other_index, other) in ordered.iter().enumerate() {
                    assert_eq!(
                        distribution.compare(one, other),
                        index.cmp(&other_index),
                        "{one} {other}"
                    );
                }
            }
        }
        for strange in ["", "-", "~", ":", "日本-語", "1.6.18-1\u{3000}x", "^^~~"] {
            for distribution in [Distribution::Debian(12), Distribution::Other] {
                assert_eq!(distribution.compare(strange, strange), Ordering::Equal);
            }
        }
    }

    #[test]
    fn the_vendor_knows_better_than_the_version() {
        use Distribution::{Debian, EnterpriseLinux, Other};
        use VendorFix::{Fixed, NotFixed, Unknown};
        let cases = [
            ("MS110", EnterpriseLinux(7), "1.4.15-10.el7_3.1", Fixed),
            ("MS110", EnterpriseLinux(7), "0:1.4.15-10.el7_3.1", Fixed),
            ("MS110", EnterpriseLinux(7), "1.4.15-10.el7", NotFixed),
            ("MS105", EnterpriseLinux(7), "1.4.15-6.el7", Fixed),
            ("MS105", EnterpriseLinux(7), "1.4.15-5.el7", NotFixed),
            ("MS107", EnterpriseLinux(7), "1.4.15-9.el7", NotFixed),
            ("MS107", EnterpriseLinux(7), "1.4.15-10.el7", Fixed),
            ("MS113", EnterpriseLinux(7), "1.4.15-10.el7_3.1", Unknown),
            ("MS110", EnterpriseLinux(6), "1.4.4-3.el6_8.1", Fixed),
            ("MS110", EnterpriseLinux(6), "1.4.4-3.el6", NotFixed),
            ("MS110", EnterpriseLinux(9), "1.6.9-7.el9", Fixed),
            ("MS122", Debian(12), "1.6.18-1+deb12u1", Fixed),
            ("MS122", Debian(12), "1.6.18-1", NotFixed),
            ("MS122", Debian(13), "1.6.38-1", Fixed),
            ("MS124", Debian(13), "1.6.38-1", Unknown),
            ("MS110", Other, "1.4.15-1", Unknown),
            ("MS110", Other, "1.6.45-1", Fixed),
            // Older than the flaw.
            ("MS115", Other, "1.4.15-1", Fixed),
            ("MS100", Other, "1.6.45-1", Fixed),
            ("MS100", Debian(12), "1.6.18-1+deb12u1", Unknown),
            ("MS001", Other, "1.6.45-1", Unknown),
            ("MS999", Other, "1.6.45-1", Unknown),
        ];
        for (code, distribution, version, expected) in cases {
            let found = vendor_fix(code, &package(distribution, version));
            assert_eq!(found, expected, "{code} {version}");
        }
        let other_package = Package {
            name: "memcached-exporter".into(),
            ..package(Debian(12), "1.6.45-1")
        };
        assert_eq!(vendor_fix("MS110", &other_package), Unknown);
    }

    #[test]
    fn every_release_is_about_a_rule_that_affects_it() {
        for one in &RELEASES {
            let rule = crate::rules::rules().iter().find(|rule| {
                let flaw = rule.flaw.as_ref();
                flaw.is_some_and(|flaw| flaw.cve == Some(one.cve))
            });
            let flaw = rule.and_then(|rule| rule.flaw).unwrap();
            let upstream = package(one.distribution, one.version).upstream().unwrap();
            assert!(flaw.affects(upstream), "{} {}", one.cve, one.version);
        }
    }

    #[test]
    fn findings_become_confirmed_or_disappear() {
        let findings = cases::open(Gate::Any, "1.4.15").judge().findings;
        let settled = |version: &str, code: &str| {
            let finding = findings.iter().find(|one| one.code == code).unwrap();
            let package = package(Distribution::EnterpriseLinux(7), version);
            settle(finding.clone(), &package).map(|finding| finding.confidence)
        };
        assert_eq!(
            settled("1.4.15-10.el7", "MS110"),
            Some(Confidence::Confirmed)
        );
        assert_eq!(settled("1.4.15-10.el7_3.1", "MS110"), None);
        assert_eq!(
            settled("1.4.15-10.el7_3.1", "MS113"),
            Some(Confidence::Possible)
        );
        assert_eq!(
            settled("1.4.15-10.el7_3.1", "MS001"),
            Some(Confidence::Confirmed)
        );
    }

    #[test]
    fn distributions_are_known_by_os_release() {
        use Distribution::{Debian, EnterpriseLinux, Other};
        let cases = [
            ("debian", "12", Debian(12)),
            ("rhel", "7.9", EnterpriseLinux(7)),
            ("centos", "7", EnterpriseLinux(7)),
            ("rocky", "9.4", EnterpriseLinux(9)),
            ("ubuntu", "24.04", Other),
            ("debian", "", Other),
            ("fedora", "40", Other),
        ];
        for (id, version_id, expected) in cases {
            assert_eq!(Distribution::of_os_release(id, version_id), expected);
        }
    }
}
