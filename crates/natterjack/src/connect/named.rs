//! A server's certificate that is checked against another name than the one that is dialed.
//!
//! async-nats checks the name that it dials; a configuration of rustls may say otherwise. No name is told
//! to the server: the one that is dialed would be the wrong one.

use std::sync::Arc;

use async_nats::rustls::client::WebPkiServerVerifier;
use async_nats::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use async_nats::rustls::pki_types::pem::PemObject as _;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use async_nats::rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};

use super::options::Tls;
use crate::error::{Error, TlsFailed};

/// Makes the configuration, where a name is asked for.
///
/// # Errors
/// `TlsFailed`: no such name can be, or a file cannot be used.
pub(super) fn prepare(tls: &mut Tls) -> Result<(), Error> {
    let Some(name) = tls.server_name.clone() else { return Ok(()) };
    let failed = |stage: &str, detail: String| TlsFailed { stage: stage.to_owned(), detail };
    let name = ServerName::try_from(name.clone())
        .map_err(|_| failed("server name", format!("`{name}` is neither a name nor an address")))?;
    let mut roots = RootCertStore::empty();
    match &tls.ca {
        Some(path) => {
            let bad = |why: &dyn std::fmt::Display| {
                failed("reading the CA file", format!("{}: {why}", path.display()))
            };
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| bad(&error))? {
                let certificate = certificate.map_err(|error| bad(&error))?;
                roots.add(certificate).map_err(|error| bad(&error))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let inner = WebPkiServerVerifier::builder(Arc::new(roots))
        .build()
        .map_err(|error| failed("authorities", error.to_string()))?;
    let builder = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Named { inner, name }));
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let bad = |why: &dyn std::fmt::Display| {
                failed("reading the certificate file", format!("{}: {why}", cert.display()))
            };
            let chain = CertificateDer::pem_file_iter(cert).map_err(|error| bad(&error))?;
            let chain = chain.collect::<Result<Vec<_>, _>>().map_err(|error| bad(&error))?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| {
                failed("reading the key file", format!("{}: {error}", key.display()))
            })?;
            builder.with_client_auth_cert(chain, key).map_err(|error| bad(&error))?
        }
    };
    config.enable_sni = false;
    tls.config = Some(Arc::new(config));
    Ok(())
}

/// Checks as usual, but for the name.
#[derive(Debug)]
struct Named {
    inner: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _dialed: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        self.inner.verify_server_cert(certificate, chain, &self.name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
