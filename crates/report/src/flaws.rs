//! Findings that a version suggests, gathered into one: an old server has a dozen of them, and one
//! upgrade is the cure of all.

use assess::{Flaw, UpstreamVersion, explain};
use model::{Confidence, Finding, Language, Record, Text};

/// What stands for the codes of rules on versions, which are told one by one in the evidence.
pub(crate) const CODE: &str = "MS1xx";

/// What is known of the flaw that a finding is about; `None` for rules on behaviour.
fn flaw_of(finding: &Finding) -> Option<&'static Flaw> {
    explain(finding.code)?.flaw.as_ref()
}

/// The version that a server gives itself, as far as it was seen here.
fn version_of(record: &Record) -> Option<&str> {
    let dialogue = record.evidence.dialogue.as_deref()?;
    let own = dialogue.version.value().map(String::as_str);
    own.or_else(|| dialogue.stats.value()?.text("version"))
}

/// Several findings of one server that its version suggests.
pub(crate) struct Flaws<'a> {
    version: UpstreamVersion,
    /// Worst first, as they were judged.
    findings: Vec<(&'a Finding, &'static Flaw)>,
}

impl<'a> Flaws<'a> {
    /// The findings of a record that are gathered, if there are at least two with a CVE: those that
    /// are only possible, because what a package confirms stands for itself.
    pub(crate) fn of(
        record: &'a Record,
        is_wanted: impl Fn(&Finding) -> bool,
    ) -> Option<Flaws<'a>> {
        let possible = record
            .judgement
            .findings
            .iter()
            .filter(|finding| finding.confidence == Confidence::Possible && is_wanted(finding));
        let findings: Vec<(&Finding, &'static Flaw)> = possible
            .filter_map(|finding| Some((finding, flaw_of(finding)?)))
            .collect();
        let flaws = Flaws {
            version: UpstreamVersion::parse(version_of(record)?)?,
            findings,
        };
        (flaws.cves() >= 2).then_some(flaws)
    }

    /// Whether a finding of the same record is among them.
    pub(crate) fn hold(&self, finding: &Finding) -> bool {
        self.findings
            .iter()
            .any(|(one, _)| std::ptr::eq(*one, finding))
    }

    /// All of them as one finding; `None` if there are none.
    pub(crate) fn as_one(&self) -> Option<Finding> {
        let severity = self.findings.iter().map(|(one, _)| one.severity).max()?;
        let (version, count) = (self.version, self.cves());
        let mut findings = self.findings.clone();
        findings.sort_by_key(|(finding, flaw)| (flaw.cve.is_none(), finding.code));
        let list = |language: Language, comma: &str| -> String {
            let named = findings.iter().map(|(finding, flaw)| {
                let title = finding.title.in_language(language);
                format!("{} ({})", flaw.cve.unwrap_or(title), finding.code)
            });
            named.collect::<Vec<_>>().join(comma)
        };
        let evidence = Text::new(
            list(Language::English, ", "),
            list(Language::Japanese, "、"),
        );
        let fixed = self.findings.iter().map(|(_, flaw)| flaw.fixed).max()?;
        Some(Finding {
            code: CODE,
            severity,
            confidence: Confidence::Possible,
            title: Text::new(
                format!("{count} known CVEs possible for {version}"),
                format!("バージョン {version} に該当しうる既知の CVE が {count} 件"),
            ),
            evidence: vec![evidence],
            fix: Text::new(
                format!(
                    "upgrade to {fixed} or newer, or see which fixes the installed package carries: \
                     `rpm -q --changelog memcached | grep CVE` or `apt changelog memcached | grep \
                     CVE`; then restart"
                ),
                format!(
                    "{fixed} 以降に更新するか、導入済みのパッケージに含まれる修正を確認する: `rpm -q \
                     --changelog memcached | grep CVE` または `apt changelog memcached | grep CVE`。\
                     その後再起動する"
                ),
            ),
        })
    }

    fn cves(&self) -> usize {
        let named = self.findings.iter().filter(|(_, flaw)| flaw.cve.is_some());
        named.count()
    }
}
