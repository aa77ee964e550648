//! A certificate that a made-up server signs itself, and its TLS configuration.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;

use super::TlsMode;

/// A configuration with a fresh key and a certificate for this address.
pub(super) fn server_config(address: IpAddr, mode: TlsMode) -> io::Result<Arc<ServerConfig>> {
    let names = vec!["memcached.example".to_owned(), address.to_string()];
    let own = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
    let certificate = own.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let builder = if mode.require_client_certificate {
        // The only authority is the server's own certificate, so nobody has one from it.
        let mut authorities = RootCertStore::empty();
        authorities
            .add(certificate.clone())
            .map_err(io::Error::other)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider)
            .build()
            .map_err(io::Error::other)?;
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let config = builder
        .with_single_cert(vec![certificate], key)
        .map_err(io::Error::other)?;
    Ok(Arc::new(config))
}
