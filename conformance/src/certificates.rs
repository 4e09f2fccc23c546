//! Certificates for servers that use TLS, made anew for each.

use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    PublicKeyData, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::step::Version;

/// Writes `ca.pem`, the server's `server.pem` and `server-key.pem`, and what clients may show: `client`
/// (email `me@example.com`), `host` (DNS `host.example.com`), `named` (the name `CN=named,O=Toads`), `linked` (URI
/// `spiffe://example.com/me`).
/// `client.pin` holds the SHA-256 of the client's public key in hex.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn write(directory: &Path) -> Result<(), String> {
    let mut params = params("Conformance CA", Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().map_err(|e| e.to_string())?;
    let issuer = CertifiedIssuer::self_signed(params, key).map_err(|e| e.to_string())?;
    save(directory, "ca.pem", &issuer.pem())?;
    let dns =
        |name: &str| name.try_into().map(SanType::DnsName).map_err(|e: rcgen::Error| e.to_string());
    let email = "me@example.com".try_into().map_err(|e: rcgen::Error| e.to_string())?;
    let link = "spiffe://example.com/me".try_into().map_err(|e: rcgen::Error| e.to_string())?;
    let link = SanType::URI(link);
    let local = SanType::IpAddress([127, 0, 0, 1].into());
    for (name, names) in [
        ("server", vec![local, dns("localhost")?]),
        ("client", vec![SanType::Rfc822Name(email)]),
        ("host", vec![dns("host.example.com")?]),
        ("named", Vec::new()),
        ("linked", vec![link]),
    ] {
        let mut params = self::params(name, names)?;
        if name == "named" {
            params.distinguished_name.push(DnType::OrganizationName, "Toads");
        }
        let key = KeyPair::generate().map_err(|e| e.to_string())?;
        let certificate = params.signed_by(&key, &issuer).map_err(|e| e.to_string())?;
        save(directory, &format!("{name}.pem"), &certificate.pem())?;
        save(directory, &format!("{name}-key.pem"), &key.serialize_pem())?;
        let digest = <sha2::Sha256 as sha2::Digest>::digest(key.subject_public_key_info());
        save(directory, &format!("{name}.pin"), &data_encoding::HEXLOWER.encode(&digest))?;
    }
    Ok(())
}

fn params(name: &str, names: Vec<SanType>) -> Result<CertificateParams, String> {
    let mut params = CertificateParams::new(Vec::new()).map_err(|e| e.to_string())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = names;
    Ok(params)
}

fn save(directory: &Path, name: &str, text: &str) -> Result<(), String> {
    std::fs::write(directory.join(name), text).map_err(|e| format!("{name}: {e}"))
}

/// The pin of a certificate written before, for `{pin}` in configurations.
pub(crate) fn pin(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("client.pin")).unwrap_or_default()
}

/// What a client uses that trusts the authority, shows the certificate of this name, and offers this
/// version of TLS only.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn client(
    directory: &Path,
    show: Option<&str>,
    only: Option<Version>,
) -> Result<Arc<rustls::ClientConfig>, String> {
    let authority = CertificateDer::from_pem_file(directory.join("ca.pem"));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    static BOTH: [&rustls::SupportedProtocolVersion; 2] =
        [&rustls::version::TLS13, &rustls::version::TLS12];
    let versions = match only {
        Some(Version::V13) => &BOTH[..1],
        Some(Version::V12) => &BOTH[1..],
        None => &BOTH,
    };
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots);
    let Some(name) = show else { return Ok(Arc::new(builder.with_no_client_auth())) };
    let chain = CertificateDer::from_pem_file(directory.join(format!("{name}.pem")));
    let key = PrivateKeyDer::from_pem_file(directory.join(format!("{name}-key.pem")));
    let (chain, key) = (chain.map_err(|e| e.to_string())?, key.map_err(|e| e.to_string())?);
    let config = builder.with_client_auth_cert(vec![chain], key).map_err(|e| e.to_string())?;
    Ok(Arc::new(config))
}
