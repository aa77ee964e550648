//! What a rule may look at: one endpoint, its verdict, and its neighbour transport.

use model::{AddressKind, Answer, Dialogue, StatsTable, Transport, Verdict};

use crate::binding::{self, Reach};
use crate::{Host, UpstreamVersion};

/// One endpoint as the rules see it.
pub(crate) struct Context<'a> {
    /// Both transports of the address and port.
    pub(crate) host: Host<'a>,
    /// The transport that is judged.
    pub(crate) transport: Transport,
    /// Its verdict.
    pub(crate) verdict: Verdict,
    /// Whether only this machine can reach it, as far as it says.
    pub(crate) only_from_here: bool,
    /// When it was asked, in seconds since the Unix epoch, if that is known.
    pub(crate) now_unix_s: Option<i64>,
}

/// A table of settings, and the transport that it was read over.
#[derive(Clone, Copy)]
pub(crate) struct Settings<'a> {
    /// The rows.
    pub(crate) table: &'a StatsTable,
    /// Where they were read.
    pub(crate) transport: Transport,
}

impl<'a> Context<'a> {
    pub(crate) fn new(host: Host<'a>, transport: Transport, verdict: Verdict) -> Context<'a> {
        let mut context = Context {
            host,
            transport,
            verdict,
            only_from_here: false,
            now_unix_s: None,
        };
        context.only_from_here = context.is_only_from_here();
        context
    }

    /// What was said over the transport that is judged.
    pub(crate) fn dialogue(&self) -> Option<&'a Dialogue> {
        self.host.dialogue(self.transport)
    }

    /// What was said, if the verdict is `exposed`.
    pub(crate) fn exposed(&self) -> Option<&'a Dialogue> {
        if self.verdict == Verdict::Exposed {
            self.dialogue()
        } else {
            None
        }
    }

    /// What TCP said about the same address and port, if UDP is judged.
    pub(crate) fn tcp_beside_udp(&self) -> Option<&'a Dialogue> {
        if self.transport == Transport::Udp {
            self.host.dialogue(Transport::Tcp)
        } else {
            None
        }
    }

    /// The server's settings, from this transport or else from the one beside it.
    pub(crate) fn settings(&self) -> Option<Settings<'a>> {
        self.both_transports().into_iter().find_map(|transport| {
            let table = self.host.dialogue(transport)?.settings.value()?;
            Some(Settings { table, transport })
        })
    }

    /// The item classes, from this transport or else from the one beside it.
    pub(crate) fn items(&self) -> Option<&'a StatsTable> {
        self.both_transports()
            .into_iter()
            .find_map(|transport| self.host.dialogue(transport)?.items.value())
    }

    /// A row of `stats`, as a number, from this transport or else from the one beside it.
    pub(crate) fn statistic(&self, name: &str) -> Option<u64> {
        self.both_transports()
            .into_iter()
            .find_map(|transport| self.host.dialogue(transport)?.stats.value()?.integer(name))
    }

    /// What the server calls its version, verbatim.
    pub(crate) fn version_text(&self) -> Option<&'a str> {
        self.both_transports().into_iter().find_map(|transport| {
            let dialogue = self.host.dialogue(transport)?;
            let own = dialogue.version.value().map(String::as_str);
            own.or_else(|| dialogue.stats.value()?.text("version"))
        })
    }

    /// The same, if it is a version of the memcached project.
    pub(crate) fn version(&self) -> Option<UpstreamVersion> {
        UpstreamVersion::parse(self.version_text()?)
    }

    /// Whether it serves through TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.dialogue()
            .is_some_and(|dialogue| dialogue.tls.is_some())
    }

    /// Whether the endpoint was asked over this machine's own loopback, or its file system.
    pub(crate) fn is_loopback(&self) -> bool {
        self.host.address.kind() == AddressKind::Loopback
    }

    /// Whether it behaves as nutcracker (twemproxy) does: it passes a backend's version through and
    /// forwards `get`, but closes on `stats`, which it does not route.
    pub(crate) fn is_proxy(&self) -> bool {
        self.exposed().is_some_and(|dialogue| {
            dialogue.version.value().is_some()
                && dialogue.random_key.value().is_some()
                && dialogue.stats == Answer::Closed
        })
    }

    fn both_transports(&self) -> [Transport; 2] {
        match self.transport {
            Transport::Tcp | Transport::Unix => [self.transport, Transport::Udp],
            Transport::Udp => [Transport::Udp, Transport::Tcp],
        }
    }

    /// A unix socket is never reachable from outside, whatever the server's `inter` says of its
    /// other listeners. A loopback address is taken as such unless the settings say more.
    fn is_only_from_here(&self) -> bool {
        if self.dialogue().is_none() || !self.is_loopback() {
            return false;
        }
        if self.host.address.ip().is_none() {
            return true;
        }
        match self
            .settings()
            .map_or(Reach::Unknown, |settings| binding::reach(settings.table))
        {
            Reach::Unknown | Reach::Loopback => true,
            Reach::Outside | Reach::Everywhere => false,
        }
    }
}

impl<'a> Settings<'a> {
    /// A setting, verbatim; `None` if the server does not name it, which is not a "no".
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.table.text(name)
    }

    /// Whether a switch is on. Upstream says `yes`; some forks say `1` or `on`.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.text(name)
            .is_some_and(|value| matches!(value, "yes" | "on" | "1" | "true"))
    }

    /// The setting as an evidence line.
    pub(crate) fn line(&self, name: &str, judged: Transport) -> model::Text {
        let value = self.text(name).unwrap_or_default();
        if self.transport == judged {
            model::Text::same(format!("stats settings: {name} {value}"))
        } else {
            let transport = self.transport.as_str().to_uppercase();
            model::Text::new(
                format!("stats settings (read over {transport}): {name} {value}"),
                format!("stats settings（{transport} で取得）: {name} {value}"),
            )
        }
    }
}
