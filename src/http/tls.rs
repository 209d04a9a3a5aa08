//! TLS by rustls with ring: certificates from files or self-signed; client certificates if a file names their authorities.
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::model::message_error;

message_error! {
    /// Why certificates and keys cannot be used for TLS.
    pub TlsError
}

/// The TLS configuration from PEM texts. `client_ca` contains the authorities that sign client certificates.
///
/// # Errors
/// Which of the PEM texts is wrong, and why.
pub fn tls_from_files(
    certificate: &[u8],
    key: &[u8],
    client_ca: Option<&[u8]>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the certificate cannot be read: {error}"))?;
    let key =
        PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("the key cannot be read: {error}"))?;
    let mut roots = RootCertStore::empty();
    for authority in client_ca.into_iter().flat_map(CertificateDer::pem_slice_iter) {
        let authority =
            authority.map_err(|error| format!("the client authorities cannot be read: {error}"))?;
        roots.add(authority).map_err(|error| format!("a client authority is refused: {error}"))?;
    }
    config(chain, key, roots)
}

/// The TLS configuration with a self-signed certificate for the given host names.
///
/// # Errors
/// If the certificate cannot be generated.
pub fn tls_self_signed(names: Vec<String>) -> Result<Arc<ServerConfig>, TlsError> {
    let signed = rcgen::generate_simple_self_signed(names).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der()));
    config(vec![signed.cert.der().clone()], key, RootCertStore::empty())
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: RootCertStore,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = if roots.is_empty() {
        builder.with_no_client_auth()
    } else {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .build()
            .map_err(|error| error.to_string())?;
        builder.with_client_cert_verifier(verifier)
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
