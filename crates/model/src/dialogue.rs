//! What a server said when it was spoken to. Facts only; the judging is done in `assess`.

use std::net::SocketAddr;

use crate::{Amplification, KeySample, StatsTable, Unsampled};

/// The outcome of one question. "Did not answer" is never a zero or an empty text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answer<T> {
    /// The question was not put.
    #[default]
    NotAsked,
    /// The question was put and nothing came before the time was up.
    Silent,
    /// The peer closed or reset the connection instead of answering.
    Closed,
    /// The peer said no, in these words.
    Refused(String),
    /// An answer began and did not end: a deadline, a lost datagram or a limit came first.
    Truncated(T),
    /// A whole answer.
    Given(T),
}

impl<T> Answer<T> {
    /// What was said, whole or truncated.
    pub fn value(&self) -> Option<&T> {
        match self {
            Answer::Given(value) | Answer::Truncated(value) => Some(value),
            Answer::NotAsked | Answer::Silent | Answer::Closed | Answer::Refused(_) => None,
        }
    }

    /// Whether the question was put at all.
    pub fn was_asked(&self) -> bool {
        !matches!(self, Answer::NotAsked)
    }
}

/// Which protocol the server answered in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Nothing that is memcached was understood.
    #[default]
    Unknown,
    /// The text protocol.
    Ascii,
    /// The binary protocol.
    Binary,
}

impl Protocol {
    /// The word used in outputs.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Unknown => "unknown",
            Protocol::Ascii => "ascii",
            Protocol::Binary => "binary",
        }
    }
}

/// What the server demands before it serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Not learnt.
    #[default]
    Unknown,
    /// Commands were executed without credentials.
    None,
    /// SASL over the binary protocol (`-S`), with the mechanisms it lists.
    Sasl(Vec<String>),
    /// An ASCII user and password (`-Y`).
    Ascii,
    /// TLS that demands a certificate from the client.
    TlsClientCertificate,
}

impl Auth {
    /// The word used in outputs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Auth::Unknown => "unknown",
            Auth::None => "none",
            Auth::Sasl(_) => "sasl",
            Auth::Ascii => "ascii",
            Auth::TlsClientCertificate => "tls-client-certificate",
        }
    }
}

/// A question of the dialogue, by the name that evidence lines use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// ASCII `version`.
    Version,
    /// `stats`.
    Stats,
    /// `stats settings`.
    StatsSettings,
    /// `stats items`.
    StatsItems,
    /// `stats conns`.
    StatsConns,
    /// `get` of a key that nobody has stored.
    RandomKey,
    /// Two commands in one segment.
    TwoCommands,
    /// `mn`, the meta no-op.
    MetaNoop,
    /// `stats cachedump`, for a few names of keys; only where the user wishes it.
    KeySample,
    /// Binary NOOP.
    BinaryNoop,
    /// Binary STAT.
    BinaryStat,
}

impl Question {
    /// How an administrator would type or name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Question::Version => "version",
            Question::Stats => "stats",
            Question::StatsSettings => "stats settings",
            Question::StatsItems => "stats items",
            Question::StatsConns => "stats conns",
            Question::RandomKey => "get of a random key",
            Question::TwoCommands => "two commands in one segment",
            Question::MetaNoop => "mn",
            Question::KeySample => "stats cachedump",
            Question::BinaryNoop => "binary noop",
            Question::BinaryStat => "binary stat",
        }
    }
}

/// What a `get` of a random 30-character key brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyProbe {
    /// `END`, as every honest server says.
    Miss,
    /// A value for a key that nobody can have stored.
    Hit,
}

/// What `mn` brought; it dates a server (1.5.19 added it as `EN`, 1.6.0 answers `MN`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaNoop {
    /// `MN`: 1.6.0 and newer.
    Mn,
    /// `EN`: 1.5.19 to 1.5.22.
    En,
    /// Any error: older than 1.5.19, or another implementation.
    NotKnown,
}

/// Who is connected, counted and classified; addresses are personal data and are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Sockets the server listens on (TCP, UDP, unix).
    pub listening: u64,
    /// Client connections over TCP, our own included.
    pub tcp_clients: u64,
    /// Client connections over unix sockets.
    pub unix_clients: u64,
    /// Distinct client addresses on this machine itself.
    pub loopback_peers: u64,
    /// Distinct client addresses in private networks.
    pub private_peers: u64,
    /// Distinct client addresses elsewhere.
    pub public_peers: u64,
}

/// A certificate that a server showed; recorded, never trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Subject, as a distinguished name.
    pub subject: String,
    /// Issuer, as a distinguished name.
    pub issuer: String,
    /// DNS names and addresses of the subject alternative names.
    pub names: Vec<String>,
    /// Start of validity, seconds since the Unix epoch.
    pub not_before_unix_s: i64,
    /// End of validity, seconds since the Unix epoch.
    pub not_after_unix_s: i64,
    /// SHA-256 of the DER form, in hex.
    pub sha256: String,
}

/// What the TLS handshake showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: String,
    /// Name of the negotiated cipher suite.
    pub cipher_suite: String,
    /// The server's own certificate, if one was shown and could be read.
    pub certificate: Option<Certificate>,
    /// Whether the server asked for a certificate of ours.
    pub client_certificate_requested: bool,
}

/// What something that is not memcached looked like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Impression {
    /// Accepted and never sent a byte.
    Mute,
    /// Reset the connection without a byte.
    Reset,
    /// Closed the connection without a byte.
    Closed,
    /// Sent our own bytes back.
    Echo,
    /// A web server; its status line.
    Http(String),
    /// An SSH server; its banner.
    Ssh(String),
    /// Redis or a relative; its error line.
    Redis(String),
    /// Speaks TLS, but what is inside is not memcached; what it looked like.
    InsideTls(Box<Impression>),
    /// A TLS alert or a failed handshake, in words.
    TlsFailure(String),
    /// Text; its first line, shortened.
    Text(String),
    /// Bytes that are no text; the first of them in hex.
    Bytes(String),
    /// Memcached's UDP frame with a request id that is not ours, or no frame at all.
    ForeignDatagram(String),
}

/// Something a server did that no correct server does. Kept as words for evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// A line longer than the limit; its rest was skipped.
    OverlongLine,
    /// More lines or bytes than any real reply; reading stopped there.
    ReplyLimit {
        /// Bytes read before the limit.
        bytes: u64,
    },
    /// Bytes after the end of a reply that nothing asked for.
    UnaskedBytes {
        /// How many.
        bytes: u64,
    },
    /// Bytes that are not UTF-8, or NUL, in a text reply.
    NotText,
    /// A statistic that should be a number and is not one of 64 bits.
    NotANumber {
        /// The statistic's name.
        name: String,
    },
    /// UDP: the frame states fewer datagrams than came (memcached 1.6.0 to 1.6.9 does).
    TotalTooSmall {
        /// What the frame said.
        stated: u16,
        /// What came.
        received: u32,
    },
    /// UDP: the same datagram more than once.
    DuplicateDatagrams {
        /// How many were superfluous.
        count: u64,
    },
    /// UDP: datagrams with a request id that was not ours.
    WrongRequestId {
        /// How many.
        count: u64,
    },
    /// UDP: more datagrams than are read for one request.
    DatagramLimit {
        /// How many were read.
        count: u64,
    },
    /// Anything else, in words.
    Other(String),
}

/// How a dialogue came to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// Everything that was to be asked was asked.
    #[default]
    Complete,
    /// The time for one endpoint was up.
    Deadline,
    /// The whole run was stopped, by its deadline or its user.
    Stopped,
    /// Asked only for its version, because its network accepts every connection.
    Sampled,
}

/// Everything that one server said on one transport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dialogue {
    /// The protocol it was understood in.
    pub protocol: Protocol,
    /// What the TLS handshake showed, if it took one.
    pub tls: Option<TlsFacts>,
    /// Where the answer came from, if not from where the question went (UDP only).
    pub answered_from: Option<SocketAddr>,
    /// Commands that were executed, as the protocol says, without credentials. Binary VERSION and
    /// SASL LIST are answered before authentication and never stand here.
    pub executed: Vec<Question>,
    /// The version it gives itself.
    pub version: Answer<String>,
    /// What it demands before it serves.
    pub auth: Auth,
    /// `stats`.
    pub stats: Answer<StatsTable>,
    /// `stats settings`.
    pub settings: Answer<StatsTable>,
    /// `stats items`.
    pub items: Answer<StatsTable>,
    /// `stats conns`, counted.
    pub connections: Answer<Connections>,
    /// `stats` once more, on another connection.
    pub second_stats: Answer<StatsTable>,
    /// `stats` once more on the first connection; asked only if the second contradicts the first.
    pub repeated_stats: Answer<StatsTable>,
    /// A key that nobody can have stored.
    pub random_key: Answer<KeyProbe>,
    /// How many replies two commands in one segment brought.
    pub two_commands: Answer<u32>,
    /// The meta no-op.
    pub meta_noop: Answer<MetaNoop>,
    /// A few names of keys, shortened to patterns and counted. Asked only if the user wishes it.
    pub key_sample: Answer<KeySample>,
    /// Why no names were asked for although the user wished it.
    pub unsampled: Option<Unsampled>,
    /// UDP: what each request brought back.
    pub amplification: Vec<Amplification>,
    /// What it looked like, if it is not memcached.
    pub impression: Option<Impression>,
    /// What no correct server does.
    pub anomalies: Vec<Anomaly>,
    /// How the dialogue ended.
    pub ending: Ending,
}
