//! Accepted risks: what an administrator knows of, and has a reason and a date for.

use model::{Acceptance, Address, Endpoint, Judgement, Severity, Transport, Verdict};
use targets::AddressRange;

/// One entry of an acceptance file, already checked to be in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedRisk {
    /// Which addresses; `None` = all.
    pub addresses: Option<AddressRange>,
    /// A unix socket, by its path, instead of addresses.
    pub unix: Option<std::path::PathBuf>,
    /// Which port; `None` = all.
    pub port: Option<u16>,
    /// Which transport; `None` = all.
    pub transport: Option<Transport>,
    /// Which rule; `None` = whatever is found there.
    pub rule: Option<String>,
    /// Why.
    pub reason: String,
    /// Until which date, `YYYY-MM-DD`, that day included.
    pub until: String,
}

impl AcceptedRisk {
    fn covers(&self, endpoint: &Endpoint) -> bool {
        let address = match (&endpoint.address, &self.unix) {
            (Address::Unix(path), Some(accepted)) => path.as_path() == accepted,
            (_, Some(_)) => false,
            (address, None) => match (&self.addresses, address.ip()) {
                (None, _) => true,
                (Some(range), Some(ip)) => range.contains(ip),
                (Some(_), None) => false,
            },
        };
        address
            && self.port.is_none_or(|port| port == endpoint.port)
            && self
                .transport
                .is_none_or(|transport| transport == endpoint.transport)
    }
}

/// Which accepted risks apply to an endpoint, and whether it is an alarm all the same.
pub(crate) fn weigh(
    risks: &[AcceptedRisk],
    endpoint: &Endpoint,
    judgement: &Judgement,
    fail_on: Severity,
) -> (Vec<Acceptance>, bool) {
    let applying: Vec<&AcceptedRisk> = risks
        .iter()
        .filter(|risk| risk.covers(endpoint))
        .filter(|risk| {
            risk.rule.as_ref().is_none_or(|rule| {
                judgement
                    .findings
                    .iter()
                    .any(|finding| finding.code == rule)
            })
        })
        .collect();
    let all_accepted = applying.iter().any(|risk| risk.rule.is_none());
    let is_accepted = |code: &str| {
        applying
            .iter()
            .any(|risk| risk.rule.as_deref() == Some(code))
    };
    let open = judgement
        .findings
        .iter()
        .any(|finding| finding.severity >= fail_on && !is_accepted(finding.code));
    let alarm =
        judgement.verdict == Verdict::Exposed && !judgement.only_from_here && !all_accepted && open;
    let acceptances = applying
        .into_iter()
        .map(|risk| Acceptance {
            rule: risk.rule.clone(),
            reason: risk.reason.clone(),
            until: risk.until.clone(),
        })
        .collect();
    (acceptances, alarm)
}

#[cfg(test)]
mod tests {
    use model::{Confidence, Finding, Text};

    use super::*;

    fn finding(code: &'static str, severity: Severity) -> Finding {
        Finding {
            code,
            severity,
            confidence: Confidence::Confirmed,
            title: Text::same(code),
            evidence: Vec::new(),
            fix: Text::same("fix"),
        }
    }

    fn judgement(verdict: Verdict, only_from_here: bool) -> Judgement {
        Judgement {
            verdict,
            reason: Text::same("reason"),
            findings: vec![
                finding("MS001", Severity::High),
                finding("MS003", Severity::Medium),
            ],
            only_from_here,
        }
    }

    fn risk(rule: Option<&str>, network: Option<(&str, &str)>) -> AcceptedRisk {
        AcceptedRisk {
            addresses: network.map(|(first, last)| AddressRange {
                first: first.parse().unwrap(),
                last: last.parse().unwrap(),
            }),
            unix: None,
            port: None,
            transport: None,
            rule: rule.map(str::to_owned),
            reason: "known".to_owned(),
            until: "2999-12-31".to_owned(),
        }
    }

    #[test]
    fn alarms_follow_verdict_severity_and_acceptance() {
        let endpoint = Endpoint::new(
            Address::from_ip("10.0.0.5".parse().unwrap()),
            11211,
            Transport::Tcp,
        );
        let here = Some(("10.0.0.0", "10.0.0.255"));
        let elsewhere = Some(("10.0.1.0", "10.0.1.255"));
        let exposed = judgement(Verdict::Exposed, false);
        let cases: Vec<(&str, Vec<AcceptedRisk>, Judgement, Severity, bool)> = vec![
            ("plain", vec![], exposed.clone(), Severity::Low, true),
            (
                "below the wanted severity",
                vec![],
                exposed.clone(),
                Severity::Critical,
                false,
            ),
            (
                "only this machine",
                vec![],
                judgement(Verdict::Exposed, true),
                Severity::Low,
                false,
            ),
            (
                "protected",
                vec![],
                judgement(Verdict::Protected, false),
                Severity::Low,
                false,
            ),
            (
                "whole endpoint",
                vec![risk(None, here)],
                exposed.clone(),
                Severity::Low,
                false,
            ),
            (
                "other network",
                vec![risk(None, elsewhere)],
                exposed.clone(),
                Severity::Low,
                true,
            ),
            (
                "one of two rules",
                vec![risk(Some("MS001"), here)],
                exposed.clone(),
                Severity::Low,
                true,
            ),
            (
                "the only high rule",
                vec![risk(Some("MS001"), here)],
                exposed.clone(),
                Severity::High,
                false,
            ),
            (
                "both rules",
                vec![risk(Some("MS001"), None), risk(Some("MS003"), here)],
                exposed,
                Severity::Low,
                false,
            ),
        ];
        for (name, risks, judgement, fail_on, expected) in cases {
            let (_, alarm) = weigh(&risks, &endpoint, &judgement, fail_on);
            assert_eq!(alarm, expected, "{name}");
        }
    }
}
