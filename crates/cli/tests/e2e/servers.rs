//! Made-up servers for these tests, on loopback addresses of their own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use sim::behaviour::{Act, DatagramAct, Genuine, GenuineConfig, Journal, Personality, StreamId};
use sim::{Hosting, LiveServer, TlsMode, UdpReply};
use testkit::fresh_loopback;

pub(crate) const TCP: Hosting = Hosting {
    tcp: true,
    udp: false,
    tls: None,
    udp_reply: UdpReply::FromSamePort,
};
pub(crate) const BOTH: Hosting = Hosting { udp: true, ..TCP };
pub(crate) const TLS: Hosting = Hosting {
    tls: Some(TlsMode {
        require_client_certificate: false,
    }),
    ..TCP
};

/// Hosts a server on port 11211 of a fresh address.
pub(crate) fn host(hosting: Hosting, server: impl Personality + 'static) -> (Ipv4Addr, LiveServer) {
    let address = fresh_loopback();
    let at = SocketAddr::from((address, 11211));
    (
        address,
        LiveServer::host(at, hosting, Box::new(server)).unwrap(),
    )
}

/// Hosts a made-up memcached, and has its journal and what goes to it, byte by byte.
pub(crate) fn host_taped(
    hosting: Hosting,
    config: GenuineConfig,
) -> (Ipv4Addr, Journal, Tape, LiveServer) {
    let inner = Genuine::new(config);
    let (journal, tape) = (inner.journal(), Tape::default());
    let taped = Taped {
        inner,
        tape: tape.clone(),
    };
    let (address, server) = host(hosting, taped);
    (address, journal, tape, server)
}

/// What went to a server, byte by byte.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tape {
    pub(crate) connections: Arc<Mutex<u64>>,
    pub(crate) segments: Arc<Mutex<Vec<Vec<u8>>>>,
    pub(crate) datagrams: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Tape {
    pub(crate) fn is_empty(&self) -> bool {
        *self.connections.lock().unwrap() == 0 && self.datagrams.lock().unwrap().is_empty()
    }
}

/// A server whose every input is recorded.
pub(crate) struct Taped<P> {
    pub(crate) inner: P,
    pub(crate) tape: Tape,
}

impl<P: Personality> Personality for Taped<P> {
    fn stream_opened(&mut self, stream: StreamId, now_us: u64) -> Vec<Act> {
        *self.tape.connections.lock().unwrap() += 1;
        self.inner.stream_opened(stream, now_us)
    }

    fn stream_bytes(&mut self, stream: StreamId, bytes: &[u8], now_us: u64) -> Vec<Act> {
        self.tape.segments.lock().unwrap().push(bytes.to_vec());
        self.inner.stream_bytes(stream, bytes, now_us)
    }

    fn stream_closed(&mut self, stream: StreamId) {
        self.inner.stream_closed(stream);
    }

    fn datagram(&mut self, datagram: &[u8], now_us: u64) -> Vec<DatagramAct> {
        self.tape.datagrams.lock().unwrap().push(datagram.to_vec());
        self.inner.datagram(datagram, now_us)
    }
}
