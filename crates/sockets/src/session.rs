//! A TLS client that accepts every certificate, and writes down what it was shown.
//!
//! An audit must see what is behind a self-signed, expired or foreign certificate, so verification
//! has no place here. Nothing secret is ever sent through such a session: `wire` has no request
//! that carries a secret.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use model::TlsFacts;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ProtocolVersion, SignatureScheme,
};

use crate::certificate;

/// Decrypted bytes that are taken from one record batch.
const PLAINTEXT_CHUNK_BYTES: usize = 16 * 1024;

/// Why a session ended, as far as TLS knows.
#[derive(Debug)]
pub(crate) enum SessionEnd {
    /// The peer said `close_notify` or closed after the handshake.
    Closed,
    /// An alert or a protocol error, in words.
    Failed(String),
}

/// What came out of received bytes.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// Set once, when the handshake has just ended.
    pub(crate) established: Option<TlsFacts>,
    pub(crate) plaintext: Vec<u8>,
    pub(crate) end: Option<SessionEnd>,
}

/// One TLS session over a connection that the reactor owns.
pub(crate) struct Session {
    connection: ClientConnection,
    requested: Arc<Requested>,
    established: bool,
}

impl Session {
    /// A session for an audit: whatever the server shows is accepted and written down.
    pub(crate) fn accepting_all(name: ServerName<'static>) -> Result<Session, String> {
        let requested = Arc::new(Requested::default());
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Session::verifier_of_all(provider))
            .with_client_cert_resolver(Arc::clone(&requested) as Arc<dyn ResolvesClientCert>);
        Session::begin(Arc::new(config), name, requested)
    }

    /// A session with the user's own trust and identity.
    pub(crate) fn with_config(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Session, String> {
        Session::begin(config, name, Arc::new(Requested::default()))
    }

    /// A verifier that verifies nothing.
    pub(crate) fn verifier_of_all(provider: Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
        Arc::new(AcceptAll { provider })
    }

    fn begin(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        requested: Arc<Requested>,
    ) -> Result<Session, String> {
        let connection = ClientConnection::new(config, name).map_err(|error| error.to_string())?;
        Ok(Session {
            connection,
            requested,
            established: false,
        })
    }

    /// Encrypted bytes that wait to be sent.
    pub(crate) fn take_outgoing(&mut self) -> Vec<u8> {
        let mut outgoing = Vec::new();
        while self.connection.wants_write() {
            // Writing into a vector cannot fail; an empty write ends the loop all the same.
            match self.connection.write_tls(&mut outgoing) {
                Ok(written) if written > 0 => {}
                _ => break,
            }
        }
        outgoing
    }

    /// Encrypts bytes for the peer.
    pub(crate) fn send(&mut self, plaintext: &[u8]) {
        use std::io::Write;
        // Buffered without limit in rustls; our requests are a few dozen bytes.
        let _ = self.connection.writer().write_all(plaintext);
    }

    /// Takes bytes from the socket.
    pub(crate) fn receive(&mut self, mut bytes: &[u8]) -> Received {
        let mut received = Received::default();
        while !bytes.is_empty() && received.end.is_none() {
            match self.connection.read_tls(&mut bytes) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    received.end = Some(SessionEnd::Failed(error.to_string()));
                    break;
                }
            }
            match self.connection.process_new_packets() {
                Ok(state) if state.peer_has_closed() => received.end = Some(SessionEnd::Closed),
                Ok(_) => {}
                Err(error) => received.end = Some(SessionEnd::Failed(error.to_string())),
            }
            self.read_plaintext(&mut received.plaintext);
        }
        if !self.established && !self.connection.is_handshaking() {
            self.established = true;
            received.established = Some(self.facts());
        }
        received
    }

    pub(crate) fn client_certificate_requested(&self) -> bool {
        self.requested.seen.load(Ordering::Relaxed)
    }

    fn read_plaintext(&mut self, plaintext: &mut Vec<u8>) {
        let mut chunk = [0; PLAINTEXT_CHUNK_BYTES];
        while let Ok(read) = self.connection.reader().read(&mut chunk) {
            if read == 0 {
                return;
            }
            plaintext.extend_from_slice(&chunk[..read]);
        }
    }

    fn facts(&self) -> TlsFacts {
        let version = match self.connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "unknown",
        };
        let cipher_suite = self
            .connection
            .negotiated_cipher_suite()
            .map(|suite| format!("{:?}", suite.suite()))
            .unwrap_or_default();
        let certificate = self
            .connection
            .peer_certificates()
            .and_then(<[CertificateDer<'_>]>::first)
            .map(|der| certificate::describe(der, fingerprint(der)));
        TlsFacts {
            version: version.to_owned(),
            cipher_suite,
            certificate,
            client_certificate_requested: self.client_certificate_requested(),
        }
    }
}

/// SHA-256 in hex, by the hash of a cipher suite that TLS 1.3 makes mandatory.
fn fingerprint(der: &[u8]) -> String {
    static SUITE: OnceLock<Option<rustls::SupportedCipherSuite>> = OnceLock::new();
    let suite = SUITE.get_or_init(|| {
        ring::ALL_CIPHER_SUITES
            .iter()
            .find(|suite| suite.suite() == rustls::CipherSuite::TLS13_AES_128_GCM_SHA256)
            .copied()
    });
    let Some(suite) = suite.as_ref().and_then(rustls::SupportedCipherSuite::tls13) else {
        return String::new();
    };
    let digest = suite.common.hash_provider.hash(der);
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Accepts every chain and every signature: what is behind it is what the audit is about.
#[derive(Debug)]
struct AcceptAll {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AcceptAll {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // Certificates older than X.509 v3 cannot be checked, and an audit must see past them.
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Notices that the server asked for a certificate of ours. There is none to give.
#[derive(Debug, Default)]
struct Requested {
    seen: AtomicBool,
}

impl ResolvesClientCert for Requested {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.seen.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        // Otherwise rustls would not ask us, and the demand would go unnoticed.
        true
    }
}
