//! A conversation with one server: protocol found out, log-in done, tables asked.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use model::{AddressKind, StatsTable};
use sockets::{DATAGRAM_SENDS_MAX, DatagramLink, Link, LinkError, Security};
use wire::{
    AsciiAuthentication, AsciiDecoder, AsciiDemand, AsciiEvent, BinaryDecoder, BinaryEvent,
    BinaryReply, BinaryRequest, Channel, Clearance, ConnectionsRequest, DatagramRequest, Request,
    Risky, SaslDemand, SaslPlain, ServerVersion, SizesRequest, StatsGroup, Wish, opcode, status,
};

use crate::tool::{Server, ToolError};

/// The least time that a silent server is given before the binary protocol is tried; with a longer
/// timeout it is a third of that, for servers that are far away.
const ASCII_WAIT_MIN: Duration = Duration::from_millis(700);
/// Rows of one table; the largest real one, `stats conns` of a full server, has some 300,000.
const TABLE_ROWS_MAX: usize = 400_000;
/// Opaque value of our binary requests.
const OPAQUE: u32 = 0x6d65_6d73;

/// A table that a server can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// `stats`.
    Stats,
    /// `stats settings`.
    Settings,
    /// `stats items`.
    Items,
    /// `stats slabs`.
    Slabs,
    /// `stats sizes`.
    Sizes,
    /// `stats conns`.
    Conns,
}

impl Table {
    /// The command as an administrator would type it.
    pub fn command(self) -> &'static str {
        match self {
            Table::Stats => "stats",
            Table::Settings => "stats settings",
            Table::Items => "stats items",
            Table::Slabs => "stats slabs",
            Table::Sizes => "stats sizes",
            Table::Conns => "stats conns",
        }
    }

    fn group(self) -> Option<StatsGroup> {
        match self {
            Table::Stats => Some(StatsGroup::General),
            Table::Settings => Some(StatsGroup::Settings),
            Table::Items => Some(StatsGroup::Items),
            Table::Slabs => Some(StatsGroup::Slabs),
            Table::Sizes | Table::Conns => None,
        }
    }
}

enum Line {
    Ascii(AsciiLine),
    Binary(BinaryLine),
    Datagram(DatagramLink),
}

pub(crate) struct AsciiLine {
    pub(crate) link: Link,
    decoder: AsciiDecoder,
}

pub(crate) struct BinaryLine {
    pub(crate) link: Link,
    decoder: BinaryDecoder,
    replies: VecDeque<BinaryReply>,
}

/// A conversation with one server.
pub struct Session<'a> {
    server: &'a Server,
    line: Line,
    version: Option<String>,
}

impl<'a> Session<'a> {
    /// Connects, finds out which protocol is spoken, and logs in if the server demands it.
    ///
    /// # Errors
    ///
    /// Whatever keeps the server from being asked; within a few times the server's timeout.
    pub fn open(server: &'a Server) -> Result<Session<'a>, ToolError> {
        if server.channel == Channel::Udp {
            return Session::open_datagram(server);
        }
        let mut ascii = AsciiLine::open(server)?;
        match ascii.ask_version(first_wait(server)) {
            Ok(AsciiEvent::Version(version)) => Ok(Session {
                server,
                line: Line::Ascii(ascii),
                version: Some(version),
            }),
            Ok(event) => match AsciiDemand::from_reply(&event) {
                Some(demand) => Session::log_in_ascii(server, ascii, demand),
                None => Err(ToolError::NotMemcached(event.to_string())),
            },
            Err(ToolError::Link(LinkError::Timeout(_))) => Session::open_binary(server),
            Err(ToolError::Link(LinkError::Closed)) if is_plain(server) => {
                Err(ToolError::PerhapsTls)
            }
            Err(error) => Err(error),
        }
    }

    /// The version that the server gives itself, if it told one.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The longest wait for any answer.
    pub(crate) fn timeout(&self) -> Duration {
        self.server.timeout
    }

    /// The protocol in use, in words.
    pub fn protocol(&self) -> &'static str {
        match self.line {
            Line::Ascii(_) => "ascii",
            Line::Binary(_) => "binary",
            Line::Datagram(_) => "udp",
        }
    }

    /// Asks for a whole table.
    ///
    /// # Errors
    ///
    /// If it is refused, denied for this version, or breaks off: never half a table.
    pub fn table(&mut self, table: Table) -> Result<StatsTable, ToolError> {
        let clearance = self.clearance_for(table)?;
        let sizes = self.sizes_for_datagrams(table)?;
        match &mut self.line {
            Line::Datagram(link) => {
                let text = match table.group() {
                    Some(group) => link.ask(DatagramRequest::Stats(group))?,
                    None => link.ask_sizes(sizes.ok_or(ToolError::NotOverUdp(table.command()))?)?,
                };
                table_of_text(&text, table.command())
            }
            Line::Binary(line) => {
                let mut bytes = Vec::new();
                encode_binary_table(table, clearance, &mut bytes)?;
                line.table(&bytes, table.command())
            }
            Line::Ascii(line) => {
                let mut bytes = Vec::new();
                encode_table(table, clearance, &mut bytes)?;
                line.link.send(&bytes)?;
                line.table(table.command())
            }
        }
    }

    /// A clearance for what harms some versions; `None` where none is needed.
    fn clearance_for(&self, table: Table) -> Result<Option<Clearance>, ToolError> {
        match (table, self.server.channel) {
            (Table::Sizes, Channel::Udp) => Ok(None),
            (Table::Sizes, _) => self.clearance(Risky::Sizes).map(Some),
            (Table::Conns, Channel::Unix) => self.clearance(Risky::ConnectionsOverUnix).map(Some),
            _ => Ok(None),
        }
    }

    /// `stats sizes` over UDP: a cleared request for each time that it may have to be sent.
    fn sizes_for_datagrams(
        &self,
        table: Table,
    ) -> Result<Option<[SizesRequest; DATAGRAM_SENDS_MAX]>, ToolError> {
        if (table, self.server.channel) != (Table::Sizes, Channel::Udp) {
            return Ok(None);
        }
        let requests: Vec<SizesRequest> = (0..DATAGRAM_SENDS_MAX)
            .map(|_| sizes_request(Some(self.clearance(Risky::Sizes)?)))
            .collect::<Result<_, ToolError>>()?;
        Ok(requests.try_into().ok())
    }

    /// Asks for leave to send what harms some versions; the user's mode is the wish.
    pub(crate) fn clearance(&self, risky: Risky) -> Result<Clearance, ToolError> {
        let version = self.parsed_version();
        Clearance::mint(
            risky,
            self.server.channel,
            version.as_ref(),
            Wish::AskedByUser,
        )
        .map_err(|denied| ToolError::Denied(denied.to_string()))
    }

    pub(crate) fn parsed_version(&self) -> Option<ServerVersion> {
        self.version.as_deref().and_then(ServerVersion::parse)
    }

    /// The line of a session that speaks the text protocol, for a question that needs it.
    pub(crate) fn ascii_for(
        &mut self,
        question: &'static str,
    ) -> Result<&mut AsciiLine, ToolError> {
        match &mut self.line {
            Line::Ascii(line) => Ok(line),
            Line::Binary(_) => Err(ToolError::NotInBinary(question)),
            Line::Datagram(_) => Err(ToolError::NotOverUdp(question)),
        }
    }

    /// The link of a session that speaks the binary protocol. No reply is under way on it.
    pub(crate) fn binary_link(&mut self) -> Option<&mut Link> {
        match &mut self.line {
            Line::Binary(line) => Some(&mut line.link),
            Line::Ascii(_) | Line::Datagram(_) => None,
        }
    }

    fn open_datagram(server: &'a Server) -> Result<Session<'a>, ToolError> {
        let mut link = DatagramLink::open(&server.target, server.timeout, &server.stopped)?;
        let text = link.ask(DatagramRequest::Version)?;
        let mut decoder = AsciiDecoder::new();
        decoder.feed(&text);
        match decoder.next_event() {
            Some(AsciiEvent::Version(version)) => Ok(Session {
                server,
                line: Line::Datagram(link),
                version: Some(version),
            }),
            other => Err(ToolError::NotMemcached(
                other
                    .as_ref()
                    .map(AsciiEvent::to_string)
                    .unwrap_or_default(),
            )),
        }
    }

    /// Connects by the binary protocol, whatever else the server speaks. Nothing but VERSION goes to
    /// who has not answered that in binary: to a text server, keys in packets could be commands.
    ///
    /// # Errors
    ///
    /// If the server does not speak it, demands a log-in that is not to be had, or is gone.
    pub(crate) fn open_binary(server: &'a Server) -> Result<Session<'a>, ToolError> {
        let mut line = BinaryLine::open(server)?;
        let version = match line.hello(first_wait(server)) {
            Ok(Some(version)) => version,
            Ok(None) | Err(ToolError::Link(LinkError::Timeout(_) | LinkError::Closed)) => {
                return Err(ToolError::Link(LinkError::Timeout(server.timeout)));
            }
            Err(error) => return Err(error),
        };
        // The list of mechanisms first: a server that demands a log-in closes after a refused NOOP.
        let mut bytes = Vec::new();
        BinaryRequest::SaslList.encode(OPAQUE, &mut bytes);
        line.link.send(&bytes)?;
        let listed = line.reply("SASL list")?;
        if let Some(demand) = SaslDemand::from_reply(&listed) {
            return Session::log_in_sasl(server, line, demand, version);
        }
        let mut bytes = Vec::new();
        BinaryRequest::Noop.encode(OPAQUE, &mut bytes);
        line.link.send(&bytes)?;
        let reply = line.reply("binary noop")?;
        if reply.status == status::NO_ERROR {
            return Ok(Session {
                server,
                line: Line::Binary(line),
                version: Some(version),
            });
        }
        if reply.status == status::AUTH_ERROR {
            return Err(ToolError::CredentialsWanted(
                "SASL authentication without PLAIN",
            ));
        }
        Err(ToolError::Refused {
            question: "binary noop",
            said: String::from_utf8_lossy(&reply.value).into_owned(),
        })
    }

    fn log_in_ascii(
        server: &'a Server,
        mut line: AsciiLine,
        demand: AsciiDemand,
    ) -> Result<Session<'a>, ToolError> {
        let credentials = permitted_credentials(server, "a user and a password (-Y)")?;
        if !credentials.are_ascii() {
            return Err(ToolError::SpaceInCredentials);
        }
        line.link
            .send(&AsciiAuthentication::encode(demand, credentials))?;
        match line.event(server.timeout)? {
            event if AsciiAuthentication::is_accepted(&event) => {}
            _ => return Err(ToolError::CredentialsRefused),
        }
        match line.ask_version(server.timeout)? {
            AsciiEvent::Version(version) => Ok(Session {
                server,
                line: Line::Ascii(line),
                version: Some(version),
            }),
            event => Err(ToolError::NotMemcached(event.to_string())),
        }
    }

    fn log_in_sasl(
        server: &'a Server,
        mut line: BinaryLine,
        demand: SaslDemand,
        version: String,
    ) -> Result<Session<'a>, ToolError> {
        let credentials = permitted_credentials(server, "SASL authentication (-S)")?;
        line.link
            .send(&SaslPlain::encode(demand, credentials, OPAQUE))?;
        let reply = line.reply("SASL PLAIN")?;
        if !SaslPlain::is_accepted(&reply) {
            return Err(ToolError::CredentialsRefused);
        }
        Ok(Session {
            server,
            line: Line::Binary(line),
            version: Some(version),
        })
    }
}

/// `stats sizes`, if this is the leave for it.
fn sizes_request(clearance: Option<Clearance>) -> Result<SizesRequest, ToolError> {
    clearance
        .and_then(SizesRequest::new)
        .ok_or_else(|| ToolError::Denied("stats sizes needs a clearance".to_owned()))
}

fn encode_table(
    table: Table,
    clearance: Option<Clearance>,
    bytes: &mut Vec<u8>,
) -> Result<(), ToolError> {
    let denied = || ToolError::Denied(format!("{} needs a clearance", table.command()));
    match (table, clearance) {
        (Table::Sizes, clearance) => sizes_request(clearance)?.encode(bytes),
        (Table::Conns, Some(clearance)) => {
            ConnectionsRequest::over_unix(clearance)
                .ok_or_else(denied)?
                .encode(bytes);
        }
        (Table::Conns, None) => ConnectionsRequest::over_tcp().encode(bytes),
        (table, _) => match table.group() {
            Some(group) => Request::Stats(group).encode(bytes),
            None => return Err(denied()),
        },
    }
    Ok(())
}

/// The same in the binary protocol, whose STAT knows no connections.
fn encode_binary_table(
    table: Table,
    clearance: Option<Clearance>,
    bytes: &mut Vec<u8>,
) -> Result<(), ToolError> {
    match (table, table.group()) {
        (Table::Sizes, _) => sizes_request(clearance)?.encode_binary(OPAQUE, bytes),
        (_, Some(group)) => BinaryRequest::Stat(group).encode(OPAQUE, bytes),
        (_, None) => return Err(ToolError::NotInBinary(table.command())),
    }
    Ok(())
}

/// How long the first answer in each protocol is waited for.
fn first_wait(server: &Server) -> Duration {
    ASCII_WAIT_MIN.max(server.timeout / 3).min(server.timeout)
}

fn is_plain(server: &Server) -> bool {
    matches!(server.security, Security::Plain) && server.channel == Channel::Tcp
}

/// The credentials, if they may travel on this channel.
fn permitted_credentials<'a>(
    server: &'a Server,
    demanded: &'static str,
) -> Result<&'a wire::Credentials, ToolError> {
    let credentials = server
        .credentials
        .as_ref()
        .ok_or(ToolError::CredentialsWanted(demanded))?;
    match &server.security {
        Security::Tls(options) if options.insecure => Err(ToolError::InsecureCredentials),
        Security::Tls(_) => Ok(credentials),
        Security::Plain => {
            let local = server.target.address().kind() == AddressKind::Loopback;
            if local || server.allow_cleartext {
                Ok(credentials)
            } else {
                Err(ToolError::Cleartext)
            }
        }
    }
}

/// A table that came as one text.
fn table_of_text(text: &[u8], question: &'static str) -> Result<StatsTable, ToolError> {
    let mut decoder = AsciiDecoder::new();
    decoder.feed(text);
    let mut table = StatsTable::new();
    while let Some(event) = decoder.next_event() {
        if take_row(event, &mut table, question)? {
            return Ok(table);
        }
    }
    Err(ToolError::truncated(question, table.len(), LinkError::Torn))
}

/// Takes a line of a table; true at its end.
fn take_row(
    event: AsciiEvent,
    table: &mut StatsTable,
    question: &'static str,
) -> Result<bool, ToolError> {
    match event {
        AsciiEvent::Stat { name, value } => {
            push_row(table, name, value, question)?;
            Ok(false)
        }
        AsciiEvent::End => Ok(true),
        // `stats sizes` of memcached 1.2.x has no STAT before its rows.
        AsciiEvent::Other(text) if question == "stats sizes" && is_old_size(&text) => {
            if let Some((size, count)) = text.split_once(' ') {
                push_row(table, size.to_owned(), count.to_owned(), question)?;
            }
            Ok(false)
        }
        other => Err(ToolError::Refused {
            question,
            said: other.to_string(),
        }),
    }
}

/// A table that grows beyond every real one is a server that never ends it.
fn push_row(
    table: &mut StatsTable,
    name: String,
    value: String,
    question: &'static str,
) -> Result<(), ToolError> {
    if table.len() >= TABLE_ROWS_MAX {
        let rows = table.len();
        return Err(ToolError::Endless { question, rows });
    }
    table.push(name, value);
    Ok(())
}

fn is_old_size(text: &str) -> bool {
    text.split_once(' ').is_some_and(|(size, count)| {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits(size) && digits(count)
    })
}

impl AsciiLine {
    fn open(server: &Server) -> Result<AsciiLine, ToolError> {
        let link = Link::open(
            &server.target,
            &server.security,
            server.timeout,
            &server.stopped,
        )?;
        Ok(AsciiLine {
            link,
            // One more than is taken: the decoder drops what is beyond without a word.
            decoder: AsciiDecoder::with_rows_max(TABLE_ROWS_MAX as u64 + 1),
        })
    }

    fn ask_version(&mut self, wait: Duration) -> Result<AsciiEvent, ToolError> {
        let mut bytes = Vec::new();
        Request::Version.encode(&mut bytes);
        self.link.send(&bytes)?;
        self.event(wait)
    }

    /// The next line of the server.
    fn event(&mut self, wait: Duration) -> Result<AsciiEvent, ToolError> {
        let until = Instant::now() + wait;
        loop {
            if let Some(event) = self.decoder.next_event() {
                return Ok(event);
            }
            let bytes = self.link.receive_until(until)?;
            self.decoder.feed(&bytes);
        }
    }

    fn table(&mut self, question: &'static str) -> Result<StatsTable, ToolError> {
        let until = Instant::now() + self.link.timeout();
        let mut table = StatsTable::new();
        loop {
            while let Some(event) = self.decoder.next_event() {
                if take_row(event, &mut table, question)? {
                    return Ok(table);
                }
            }
            match self.link.receive_until(until) {
                Ok(bytes) => self.decoder.feed(&bytes),
                Err(why) if table.is_empty() => return Err(why.into()),
                Err(why) => return Err(ToolError::truncated(question, table.len(), why)),
            }
        }
    }
}

impl BinaryLine {
    pub(crate) fn open(server: &Server) -> Result<BinaryLine, ToolError> {
        let link = Link::open(
            &server.target,
            &server.security,
            server.timeout,
            &server.stopped,
        )?;
        Ok(BinaryLine {
            link,
            decoder: BinaryDecoder::new(),
            replies: VecDeque::new(),
        })
    }

    /// Binary VERSION: answered before any log-in. `None` if what answers is not binary.
    fn hello(&mut self, wait: Duration) -> Result<Option<String>, ToolError> {
        let mut bytes = Vec::new();
        BinaryRequest::Version.encode(OPAQUE, &mut bytes);
        self.link.send(&bytes)?;
        let until = Instant::now() + wait;
        loop {
            match self.next_reply()? {
                None => {
                    let received = self.link.receive_until(until)?;
                    self.decoder.feed(&received);
                }
                Some(reply)
                    if reply.opcode == opcode::VERSION && reply.status == status::NO_ERROR =>
                {
                    return Ok(Some(String::from_utf8_lossy(&reply.value).into_owned()));
                }
                Some(_) => return Ok(None),
            }
        }
    }

    fn next_reply(&mut self) -> Result<Option<BinaryReply>, ToolError> {
        while let Some(event) = self.decoder.next_event() {
            match event {
                BinaryEvent::Reply(reply) => self.replies.push_back(reply),
                BinaryEvent::NotBinary => {
                    return Err(ToolError::NotMemcached("no binary packet".to_owned()));
                }
            }
        }
        Ok(self.replies.pop_front())
    }

    fn reply(&mut self, question: &'static str) -> Result<BinaryReply, ToolError> {
        let until = Instant::now() + self.link.timeout();
        self.reply_until(question, until)
    }

    fn reply_until(
        &mut self,
        question: &'static str,
        until: Instant,
    ) -> Result<BinaryReply, ToolError> {
        loop {
            if let Some(reply) = self.next_reply()? {
                return Ok(reply);
            }
            match self.link.receive_until(until) {
                Ok(bytes) => self.decoder.feed(&bytes),
                Err(why) => return Err(ToolError::truncated(question, 0, why)),
            }
        }
    }

    /// Asks by this STAT packet for a whole table.
    fn table(&mut self, request: &[u8], question: &'static str) -> Result<StatsTable, ToolError> {
        self.link.send(request)?;
        let until = Instant::now() + self.link.timeout();
        let mut table = StatsTable::new();
        loop {
            let reply = self.reply_until(question, until)?;
            if reply.status != status::NO_ERROR {
                let said = String::from_utf8_lossy(&reply.value).into_owned();
                return Err(ToolError::Refused { question, said });
            }
            if reply.key.is_empty() {
                return Ok(table);
            }
            let [name, value] =
                [&reply.key, &reply.value].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            push_row(&mut table, name, value, question)?;
        }
    }
}
