//! Known flaws of memcached releases: what the rules on versions have in common.
//!
//! A version string is no proof: distributions mend a flaw and leave the string as it is. So every
//! finding here is [`Confidence::Possible`], names the version *and* the circumstance that would
//! open the way to the flaw (its [`Gate`]), and tells how to ask the package's changelog. A
//! circumstance that was not seen to be there opens nothing, and a version that upstream would not
//! print belongs to another program, whose flaws are not these.
//!
//! Ranges and CVSS base scores are those of the National Vulnerability Database
//! (<https://nvd.nist.gov>), ranges corrected where the source of the tagged releases differs.

use model::{Auth, Confidence, Protocol, Severity, Text, Transport, Verdict};

use crate::context::{Context, Settings};
use crate::rule::{Bilingual, Fired};
use crate::{UpstreamVersion, verdict};

/// The first release that speaks the binary protocol.
const FIRST_WITH_BINARY: UpstreamVersion = UpstreamVersion::new(1, 4, 0);

/// A flaw of some releases of upstream memcached.
#[derive(Clone, Copy, Debug)]
pub struct Flaw {
    /// Its number, such as `CVE-2016-8704`; `None` where nobody asked for one.
    pub cve: Option<&'static str>,
    /// How bad it is at worst; `None` without a CVE.
    pub cvss: Option<Cvss>,
    /// The first release that has it; `None` if all before the fix do.
    pub introduced: Option<UpstreamVersion>,
    /// The first release without it.
    pub fixed: UpstreamVersion,
    /// What must be so for an attacker to get at it.
    pub gate: Gate,
    /// Whether a server that demands a log-in can be attacked without one.
    pub before_login: bool,
}

/// A CVSS base score (<https://www.first.org/cvss/>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cvss {
    /// The generation of the scale: 2 or 3.
    pub generation: u8,
    /// Tenths, from 0 to 100; `None` where only the word `high` was published.
    pub tenths: Option<u8>,
}

/// What must be so for an attacker to get at a flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Nothing: either protocol leads there.
    Any,
    /// The ASCII protocol is spoken.
    Ascii,
    /// The binary protocol is spoken.
    Binary,
    /// SASL is on.
    Sasl,
    /// The server answers over UDP.
    Udp,
    /// The server logs at least this much (`-v` is 1, `-vv` is 2).
    Verbosity(u64),
    /// The built-in proxy is on.
    Proxy,
    /// The server listens on a unix socket: reached from the same machine only.
    UnixSocket,
    /// The server reads an authentication file (`-Y`): reached by whoever writes that file.
    AuthenticationFile,
}

/// What counts as proof, for the documentation of every rule on versions.
pub(crate) const EVIDENCE: Bilingual = Bilingual {
    en: "Possible: the version that the server gives itself lies in the range, and what opens the \
         way to the flaw was seen. Vendors mend packages without changing that version, so the \
         package decides. Nothing is sent that would trigger the flaw, and versions of other \
         programs never count.",
    ja: "可能性あり（possible）: サーバーが名乗るバージョンが範囲内にあり、欠陥に到達できる条件も確認\
         しました。ディストリビューションはバージョン番号を変えずに修正を取り込むため、最終的にはパッ\
         ケージで判断します。欠陥を突く要求は一切送信せず、他のプログラムのバージョンは対象外です。",
};

/// The mend, for the documentation of every rule on versions.
pub(crate) const FIX: Bilingual = Bilingual {
    en: "Upgrade, or install the vendor's package that carries the fix and restart. Whether the \
         installed one does: `rpm -q --changelog memcached | grep CVE`, or `apt changelog \
         memcached | grep CVE`. Until then let only the application reach the port (MS001).",
    ja: "更新するか、修正を含むディストリビューションのパッケージを導入して再起動します。導入済みのパッ\
         ケージが修正を含むかどうかは `rpm -q --changelog memcached | grep CVE` または `apt changelog \
         memcached | grep CVE` で確認できます。それまではアプリケーションだけがポートに到達できるように\
         します（MS001）。",
};

impl Flaw {
    /// Whether a release has it.
    pub fn affects(&self, version: UpstreamVersion) -> bool {
        version < self.fixed && self.introduced.is_none_or(|first| version >= first)
    }

    /// The releases that have it, in words.
    pub fn range(&self) -> Text {
        let fixed = self.fixed;
        match self.introduced {
            Some(first) => Text::new(
                format!("{first} to before {fixed}"),
                format!("{first} 以降 {fixed} 未満"),
            ),
            None => Text::new(format!("before {fixed}"), format!("{fixed} 未満")),
        }
    }
}

impl Cvss {
    /// A base score in tenths, on the scale of this generation.
    pub(crate) const fn new(generation: u8, tenths: u8) -> Cvss {
        Cvss {
            generation,
            tenths: Some(tenths),
        }
    }

    /// The word for the score: version 2 knows nothing above `high`.
    pub fn severity(self) -> Severity {
        match (self.generation, self.tenths) {
            (_, None) => Severity::High,
            (3.., Some(90..)) => Severity::Critical,
            (_, Some(70..)) => Severity::High,
            (_, Some(40..)) => Severity::Medium,
            (_, Some(1..)) => Severity::Low,
            (_, Some(0)) => Severity::Info,
        }
    }

    /// Such as `CVSS v3 9.8`.
    pub fn in_words(self) -> String {
        let generation = self.generation;
        match self.tenths {
            Some(tenths) => format!("CVSS v{generation} {}.{}", tenths / 10, tenths % 10),
            None => format!("CVSS v{generation} high"),
        }
    }
}

/// Looks for a flaw in the version that the server gives itself.
pub(crate) fn check(context: &Context<'_>, flaw: &Flaw) -> Option<Fired> {
    if !is_the_place(context, flaw.gate) {
        return None;
    }
    let version = context.version().filter(|version| flaw.affects(*version))?;
    let opened = opened_by(context, version, flaw.gate)?;
    let range = flaw.range();
    let score = flaw.cvss.map(|cvss| format!("; {}", cvss.in_words()));
    let score = score.unwrap_or_default();
    let name = flaw.cve.map(|cve| format!("{cve}: ")).unwrap_or_default();
    let mut evidence = vec![Text::new(
        format!("version {version}; {name}{}{score}", range.en),
        format!("バージョン {version}（{name}{}{score}）", range.ja),
    )];
    evidence.extend(opened);
    let behind_login = context.verdict == Verdict::Protected && !flaw.before_login;
    if behind_login {
        evidence.push(Text::new(
            "reached only after logging in",
            "ログイン後にのみ到達できる",
        ));
    }
    Some(Fired {
        severity: severity(context, flaw, behind_login),
        confidence: Confidence::Possible,
        evidence,
        fix: upgrade(flaw),
    })
}

/// The score decides, and then how far an attacker has to come.
fn severity(context: &Context<'_>, flaw: &Flaw, behind_login: bool) -> Severity {
    let by_score = flaw.cvss.map_or(Severity::Medium, Cvss::severity);
    let is_local = match flaw.gate {
        Gate::UnixSocket => context.transport != Transport::Unix,
        Gate::AuthenticationFile => true,
        Gate::Any
        | Gate::Ascii
        | Gate::Binary
        | Gate::Sasl
        | Gate::Udp
        | Gate::Verbosity(_)
        | Gate::Proxy => false,
    };
    if is_local {
        Severity::Info
    } else if behind_login {
        by_score.min(Severity::Low)
    } else {
        by_score
    }
}

/// Whether the finding belongs to the endpoint that is judged. A server has its version once, so
/// only one of two open transports bears it: TCP, unless the flaw is one of UDP.
fn is_the_place(context: &Context<'_>, gate: Gate) -> bool {
    let is_reached = matches!(context.verdict, Verdict::Exposed | Verdict::Protected);
    // The version is that of a server behind the proxy, and nothing is known of the way there.
    if !is_reached || context.is_proxy() {
        return false;
    }
    match context.transport {
        Transport::Tcp | Transport::Unix => gate != Gate::Udp,
        Transport::Udp => {
            gate == Gate::Udp || verdict(&context.host, Transport::Tcp) != Verdict::Exposed
        }
    }
}

/// What was seen that opens the way; `None` if it is shut, or not known to be open.
fn opened_by(context: &Context<'_>, version: UpstreamVersion, gate: Gate) -> Option<Vec<Text>> {
    let settings = context.settings();
    let line = |name: &str| settings.map(|settings| settings.line(name, context.transport));
    let setting = |name: &str, opens: &dyn Fn(&str) -> bool| {
        settings?.text(name).filter(|value| opens(value))?;
        Some(vec![line(name)?])
    };
    match gate {
        Gate::Any => Some(Vec::new()),
        Gate::Ascii => speaks_ascii(context, settings).then(Vec::new),
        Gate::Binary => speaks_binary(context, version, settings),
        Gate::Sasl => sasl(context).or_else(|| setting("auth_enabled_sasl", &is_yes)),
        Gate::Udp => Some(vec![Text::new("it answers over UDP", "UDP で応答している")]),
        Gate::Verbosity(least) => setting("verbosity", &|value| {
            value.parse::<u64>().is_ok_and(|level| level >= least)
        }),
        Gate::Proxy => setting("proxy_enabled", &is_yes),
        Gate::UnixSocket if context.transport == Transport::Unix => Some(vec![Text::new(
            "it was asked over its unix socket",
            "unix ソケット経由で確認",
        )]),
        Gate::UnixSocket => setting("domain_socket", &|path| !matches!(path, "" | "NULL")),
        Gate::AuthenticationFile => {
            setting("auth_enabled_ascii", &|file| !matches!(file, "" | "no"))
        }
    }
}

fn is_yes(value: &str) -> bool {
    matches!(value, "yes" | "on" | "1" | "true")
}

/// UDP speaks both protocols whatever `-B` and `-S` say.
fn speaks_ascii(context: &Context<'_>, settings: Option<Settings<'_>>) -> bool {
    context.transport == Transport::Udp
        || (context
            .dialogue()
            .is_some_and(|dialogue| dialogue.protocol == Protocol::Ascii)
            && settings.is_none_or(|settings| settings.text("binding_protocol") != Some("binary")))
}

fn speaks_binary(
    context: &Context<'_>,
    version: UpstreamVersion,
    settings: Option<Settings<'_>>,
) -> Option<Vec<Text>> {
    if version < FIRST_WITH_BINARY {
        return None;
    }
    let binding = settings.filter(|settings| settings.text("binding_protocol").is_some());
    match (context.transport, binding) {
        (Transport::Udp, _) | (_, None) => Some(vec![Text::new(
            "the binary protocol is on unless -B ascii switched it off",
            "バイナリプロトコルは -B ascii で無効にしない限り有効",
        )]),
        (_, Some(settings)) if settings.text("binding_protocol") == Some("ascii") => None,
        (_, Some(settings)) => Some(vec![settings.line("binding_protocol", context.transport)]),
    }
}

fn sasl(context: &Context<'_>) -> Option<Vec<Text>> {
    let over_tcp = context.host.dialogue(Transport::Tcp)?;
    match &over_tcp.auth {
        Auth::Sasl(mechanisms) if mechanisms.is_empty() => Some(vec![Text::new(
            "it demands SASL",
            "SASL による認証を要求している",
        )]),
        Auth::Sasl(mechanisms) => {
            let list = mechanisms.join(" ");
            Some(vec![Text::new(
                format!("it demands SASL: {list}"),
                format!("SASL による認証を要求している: {list}"),
            )])
        }
        Auth::Unknown | Auth::None | Auth::Ascii | Auth::TlsClientCertificate => None,
    }
}

fn upgrade(flaw: &Flaw) -> Text {
    let fixed = flaw.fixed;
    let sought = flaw.cve.unwrap_or("CVE");
    let asked = format!("`rpm -q --changelog memcached | grep {sought}`");
    let or_asked = format!("`apt changelog memcached | grep {sought}`");
    Text::new(
        format!(
            "upgrade to {fixed} or newer, or see whether the installed package carries the fix: \
             {asked} or {or_asked}; then restart"
        ),
        format!(
            "{fixed} 以降に更新するか、導入済みのパッケージが修正を含むか確認する: {asked} または \
             {or_asked}。その後再起動する"
        ),
    )
}

/// Evidence for the cases of the rules on versions.
#[cfg(test)]
pub(crate) mod cases {
    use model::{Answer, Dialogue};

    use super::*;
    use crate::samples::{self, Sample, with_setting};

    /// A server of this version on which the way to a flaw is open.
    pub(crate) fn open(gate: Gate, version: &str) -> Sample {
        let of_version = |dialogue| Dialogue {
            version: Answer::Given(version.into()),
            ..dialogue
        };
        let with =
            |name, value| Sample::tcp(with_setting(of_version(samples::open()), name, value));
        match gate {
            Gate::Any | Gate::Ascii | Gate::Binary => Sample::tcp(of_version(samples::open())),
            Gate::Sasl => Sample::tcp(of_version(samples::sasl())),
            Gate::Udp => Sample::udp(of_version(samples::reflector())),
            Gate::Verbosity(least) => with("verbosity", &least.to_string()),
            Gate::Proxy => with("proxy_enabled", "yes"),
            Gate::UnixSocket => Sample::unix(of_version(samples::open())),
            Gate::AuthenticationFile => with("auth_enabled_ascii", "/etc/memcached.auth"),
        }
    }

    /// The same with the way shut.
    pub(crate) fn shut(gate: Gate, version: &str) -> Sample {
        let of_version = |dialogue| Dialogue {
            version: Answer::Given(version.into()),
            ..dialogue
        };
        let with =
            |name, value| Sample::tcp(with_setting(of_version(samples::open()), name, value));
        match gate {
            // The version is that of a server behind it.
            Gate::Any => Sample::tcp(of_version(samples::proxy())),
            Gate::Ascii => Sample::tcp(of_version(samples::sasl())),
            Gate::Binary => with("binding_protocol", "ascii"),
            Gate::Sasl => with("auth_enabled_sasl", "no"),
            Gate::Udp => Sample::tcp(of_version(samples::open())),
            Gate::Verbosity(least) => with("verbosity", &(least - 1).to_string()),
            Gate::Proxy => with("proxy_enabled", "no"),
            Gate::UnixSocket => with("domain_socket", "NULL"),
            Gate::AuthenticationFile => with("auth_enabled_ascii", "no"),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Finding;

    use super::*;
    use crate::rule::Rule;
    use crate::rules::rules;
    use crate::samples::{self, Sample};

    fn of_versions() -> impl Iterator<Item = (&'static Rule, &'static Flaw)> {
        rules()
            .iter()
            .filter_map(|rule| Some((rule, rule.flaw.as_ref()?)))
    }

    fn found(sample: &Sample, code: &str) -> Option<Finding> {
        let findings = sample.judge().findings;
        findings.into_iter().find(|finding| finding.code == code)
    }

    /// The release before this one, as far as its number tells.
    fn before(version: UpstreamVersion) -> UpstreamVersion {
        match version {
            UpstreamVersion { patch: 1.., .. } => UpstreamVersion {
                patch: version.patch - 1,
                ..version
            },
            _ => UpstreamVersion {
                minor: version.minor - 1,
                patch: 99,
                ..version
            },
        }
    }

    #[test]
    fn the_first_and_the_last_release_of_a_range_have_the_flaw_and_their_neighbours_do_not() {
        for (rule, flaw) in of_versions() {
            let fires = |version: UpstreamVersion| {
                found(&cases::open(flaw.gate, &version.to_string()), rule.code).is_some()
            };
            assert!(!fires(flaw.fixed), "{} at {}", rule.code, flaw.fixed);
            assert!(fires(before(flaw.fixed)), "{}", rule.code);
            if let Some(first) = flaw.introduced {
                assert!(fires(first), "{} at {first}", rule.code);
                assert!(!fires(before(first)), "{}", rule.code);
            }
        }
    }

    #[test]
    fn other_programs_never_have_the_flaws_of_memcached() {
        let strings = [
            "yrmcds version 1.1.9",
            "nodecached-0.2.0",
            "0.0.1",
            "2.0.0",
            "1.4.15 DF",
            "1.4",
            "",
        ];
        for (rule, flaw) in of_versions() {
            for version in strings {
                let sample = cases::open(flaw.gate, version);
                assert!(
                    found(&sample, rule.code).is_none(),
                    "{} {version:?}",
                    rule.code
                );
            }
        }
    }

    #[test]
    fn a_version_is_only_possible_and_says_how_to_ask_the_package() {
        for (rule, flaw) in of_versions() {
            let version = before(flaw.fixed).to_string();
            let finding = found(&cases::open(flaw.gate, &version), rule.code).unwrap();
            assert_eq!(finding.confidence, Confidence::Possible, "{}", rule.code);
            assert!(finding.evidence[0].en.contains(&version), "{}", rule.code);
            let fixed = flaw.fixed.to_string();
            for part in ["rpm -q --changelog", "apt changelog", &fixed] {
                assert!(finding.fix.en.contains(part), "{}", rule.code);
            }
            if let Some(cve) = flaw.cve {
                assert!(finding.evidence[0].en.contains(cve), "{}", rule.code);
                assert!(rule.references.en.contains(cve), "{}", rule.code);
                assert!(rule.title.en.contains(cve), "{}", rule.code);
            }
        }
    }

    #[test]
    fn a_server_has_its_version_once() {
        let both = Sample::udp(samples::reflector()).with_tcp(model::Dialogue {
            version: model::Answer::Given("1.4.15".into()),
            ..samples::open()
        });
        assert!(found(&both, "MS110").is_none());
        let alone = Sample::udp(samples::reflector());
        assert!(found(&alone, "MS110").is_some());
        // Beside a TCP side that demands a log-in, UDP is the open way.
        let beside_sasl = Sample::udp(samples::reflector()).with_tcp(samples::sasl());
        assert!(found(&beside_sasl, "MS110").is_some());
    }

    #[test]
    fn how_far_an_attacker_has_to_come_tells_how_bad_it_is() {
        let severity = |sample: &Sample, code| found(sample, code).map(|finding| finding.severity);
        let protected = |version: &str| {
            Sample::tcp(model::Dialogue {
                version: model::Answer::Given(version.into()),
                ..samples::sasl()
            })
        };
        let open = cases::open(Gate::Any, "1.4.15");
        assert_eq!(severity(&open, "MS110"), Some(Severity::Critical));
        assert_eq!(severity(&open, "MS105"), Some(Severity::Medium));
        let behind = protected("1.4.15");
        assert_eq!(severity(&behind, "MS110"), Some(Severity::Low));
        assert_eq!(severity(&behind, "MS112"), Some(Severity::High));
        assert_eq!(severity(&behind, "MS115"), None);
        let beside = samples::with_setting(samples::open(), "domain_socket", "/run/m.sock");
        let beside = Sample::tcp(model::Dialogue {
            version: model::Answer::Given("1.5.16".into()),
            ..beside
        });
        assert_eq!(severity(&beside, "MS116"), Some(Severity::Info));
        let loopback = open.at("127.0.0.1");
        assert_eq!(
            severity(&loopback, "MS110"),
            Some(Severity::Critical),
            "its settings say 10.0.0.5"
        );
    }

    #[test]
    fn scores_become_words() {
        let cases = [
            (Cvss::new(3, 98), Severity::Critical, "CVSS v3 9.8"),
            (Cvss::new(2, 100), Severity::High, "CVSS v2 10.0"),
            (Cvss::new(3, 75), Severity::High, "CVSS v3 7.5"),
            (Cvss::new(2, 50), Severity::Medium, "CVSS v2 5.0"),
            (Cvss::new(2, 18), Severity::Low, "CVSS v2 1.8"),
        ];
        for (cvss, severity, words) in cases {
            assert_eq!(cvss.severity(), severity);
            assert_eq!(cvss.in_words(), words);
        }
    }
}
