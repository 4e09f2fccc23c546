//! A `tls` block ready for use: its files read, its settings in the library's terms.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use natterjack_config::options::{CertificateFiles, HandshakeFirst, Tls, TlsVersion};
use natterjack_core::auth::ConnectionType;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, NamedGroup, RootCertStore};

use super::certificate;
use super::rate::Rate;

/// What new connections of one listener use.
#[derive(Debug)]
pub(crate) struct TlsListener {
    /// The library's part.
    pub(crate) config: Arc<ServerConfig>,
    /// The same for the monitoring port, where nobody need show a certificate (nats-server 2.15.1).
    pub(crate) monitoring: Arc<ServerConfig>,
    /// The block it comes from.
    pub(crate) options: Tls,
    rate: Option<Rate>,
    /// When the first of its certificates ends, in seconds since 1970.
    pub(crate) not_after: Option<i64>,
}

/// TLS of all listeners.
#[derive(Debug, Default)]
pub(crate) struct Transports {
    /// Of clients, and of the monitoring port.
    pub(crate) client: Option<Arc<TlsListener>>,
    /// Of WebSocket clients.
    pub(crate) websocket: Option<Arc<TlsListener>>,
}

impl Transports {
    /// Reads the files that these options name.
    ///
    /// # Errors
    /// See [`TlsListener::new`].
    pub(crate) fn load(options: &natterjack_config::Options) -> Result<Self, String> {
        let listener = |tls: &Tls| TlsListener::new(tls).map(Arc::new);
        let websocket = options.websocket.as_ref().filter(|ws| ws.port.is_some() && !ws.no_tls);
        Ok(Transports {
            client: options.tls.as_ref().map(listener).transpose()?,
            websocket: websocket.and_then(|ws| ws.tls.as_ref()).map(listener).transpose()?,
        })
    }

    /// Whether the certificates of such connections name their users.
    pub(crate) fn maps(&self, kind: ConnectionType) -> bool {
        let listener = match kind {
            ConnectionType::WebSocket => &self.websocket,
            _ => &self.client,
        };
        listener.as_ref().is_some_and(|tls| tls.options.verify_and_map)
    }
}

impl TlsListener {
    /// Reads the files of a block.
    ///
    /// # Errors
    /// What is wrong, in nats-server's words where it has some.
    pub(crate) fn new(options: &Tls) -> Result<Self, String> {
        let provider = Arc::new(provider(options));
        let keys = options
            .certificates
            .iter()
            .map(|files| certified_key(files, &provider).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err("TLS Server certificate must be present and valid".into());
        }
        let ends = keys.iter().flat_map(|key| key.cert.first());
        let not_after = ends.filter_map(|der| certificate::not_after(der)).min();
        let wrong = |error: &dyn std::fmt::Display| format!("error parsing tls config: {error}");
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions(options.min_version))
            .map_err(|error| wrong(&error))?;
        let resolver = Arc::new(ByName::new(keys));
        let anonymous = builder.clone().with_no_client_auth().with_cert_resolver(resolver.clone());
        let config = if options.verify {
            let roots = Arc::new(roots(options.ca_file.as_deref())?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|error| wrong(&error))?;
            builder.with_client_cert_verifier(verifier).with_cert_resolver(resolver)
        } else {
            anonymous.clone()
        };
        Ok(TlsListener {
            config: Arc::new(forgetful(config)),
            monitoring: Arc::new(forgetful(anonymous)),
            options: options.clone(),
            rate: options.connection_rate_limit.map(Rate::new),
            not_after,
        })
    }

    /// How long a handshake may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.options.timeout
    }

    /// Whether the handshake comes before INFO.
    pub(crate) fn first(&self) -> HandshakeFirst {
        self.options.handshake_first
    }

    /// Whether one more handshake may begin now.
    pub(crate) fn admits(&self, now_ns: u64) -> bool {
        self.rate.as_ref().is_none_or(|rate| rate.admits(now_ns))
    }

    /// Whether a client with this key (hex SHA-256 of its SubjectPublicKeyInfo) may stay.
    pub(crate) fn admits_key(&self, spki_sha256: Option<&str>) -> bool {
        let pins = &self.options.pinned_certs;
        pins.is_empty() || spki_sha256.is_some_and(|key| pins.contains(key))
    }
}

/// What a client of these options uses: the authorities it believes, and the certificate it shows.
///
/// # Errors
/// As [`TlsListener::new`].
pub(crate) fn client_config(options: Option<&Tls>) -> Result<ClientConfig, String> {
    let defaults = Tls::default();
    let options = options.unwrap_or(&defaults);
    let provider = Arc::new(provider(options));
    let wrong = |error: &dyn std::fmt::Display| format!("error parsing tls config: {error}");
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions(options.min_version))
        .map_err(|error| wrong(&error))?
        .with_root_certificates(roots(options.ca_file.as_deref())?);
    let Some(files) = options.certificates.first() else {
        return Ok(builder.with_no_client_auth());
    };
    let key = certified_key(files, &provider)?;
    Ok(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))))
}

fn versions(oldest: TlsVersion) -> &'static [&'static rustls::SupportedProtocolVersion] {
    static BOTH: [&rustls::SupportedProtocolVersion; 2] =
        [&rustls::version::TLS13, &rustls::version::TLS12];
    match oldest {
        TlsVersion::V12 => &BOTH,
        TlsVersion::V13 => &BOTH[..1],
    }
}

/// Nothing is kept of sessions: a client that comes back proves itself anew, certificates included.
fn forgetful(mut config: ServerConfig) -> ServerConfig {
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config
}

/// The suites and key exchanges of a block.
fn provider(options: &Tls) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if !options.cipher_suites.is_empty() {
        let all = std::mem::take(&mut provider.cipher_suites);
        provider.cipher_suites = options
            .cipher_suites
            .iter()
            .filter_map(|name| all.iter().find(|suite| go_name(suite.suite()) == *name))
            .copied()
            .collect();
        // Go does not let a configuration choose among those of TLS 1.3.
        for suite in all {
            let is_13 = suite.version().version == rustls::ProtocolVersion::TLSv1_3;
            if is_13 && !provider.cipher_suites.contains(&suite) {
                provider.cipher_suites.push(suite);
            }
        }
    }
    if !options.curve_preferences.is_empty() {
        let all = std::mem::take(&mut provider.kx_groups);
        let named = |name: &String| match name.as_str() {
            "X25519" => Some(NamedGroup::X25519),
            "CurveP256" => Some(NamedGroup::secp256r1),
            "CurveP384" => Some(NamedGroup::secp384r1),
            _ => None,
        };
        provider.kx_groups = options
            .curve_preferences
            .iter()
            .filter_map(named)
            .filter_map(|group| all.iter().find(|known| known.name() == group))
            .copied()
            .collect();
    }
    provider
}

/// A cipher suite by the name that Go, and so every tool around NATS, uses.
pub(crate) fn go_name(suite: rustls::CipherSuite) -> String {
    let name = format!("{suite:?}");
    name.strip_prefix("TLS13_").map_or(name.clone(), |rest| format!("TLS_{rest}"))
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| {
        // As Go words it.
        let why = match error.kind() {
            std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
            std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => error.to_string(),
        };
        format!("open {path}: {why}")
    })
}

fn certified_key(
    files: &CertificateFiles,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let wrong = |text: String| format!("error parsing X509 certificate/key pair: {text}");
    let chain = certificates(&read(&files.certificate).map_err(wrong)?)
        .map_err(|error| wrong(format!("{}: {error}", files.certificate)))?;
    if chain.is_empty() {
        return Err(wrong(format!("no certificate in {}", files.certificate)));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key).map_err(wrong)?)
        .map_err(|error| wrong(format!("{}: {error}", files.key)))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| wrong(error.to_string()))
}

fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_slice_iter(text).collect()
}

/// The authorities of clients' certificates; without a file those of the system, as in Go.
fn roots(ca_file: Option<&str>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(
                "error parsing tls config: verify needs a ca_file: the system has none".into()
            );
        }
        return Ok(roots);
    };
    let text = read(path).map_err(|error| format!("error parsing ca_file: {error}"))?;
    let authorities = certificates(&text)
        .map_err(|error| format!("failed to parse root ca certificate: {error}"))?;
    for authority in authorities {
        roots
            .add(authority)
            .map_err(|error| format!("failed to parse root ca certificate: {error}"))?;
    }
    if roots.is_empty() {
        return Err("failed to parse root ca certificate".into());
    }
    Ok(roots)
}

/// Chooses a certificate by the name that the client asks for.
#[derive(Debug)]
struct ByName {
    keys: Vec<(Vec<String>, Arc<CertifiedKey>)>,
}

impl ByName {
    fn new(keys: Vec<Arc<CertifiedKey>>) -> Self {
        let named = |key: Arc<CertifiedKey>| {
            let names = key.cert.first().map(|der| certificate::dns_names(der)).unwrap_or_default();
            (names, key)
        };
        ByName { keys: keys.into_iter().map(named).collect() }
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let signs = |key: &&(Vec<String>, Arc<CertifiedKey>)| {
            key.1.key.choose_scheme(hello.signature_schemes()).is_some()
        };
        let wanted = hello.server_name().map(str::to_ascii_lowercase);
        let named = wanted.as_deref().and_then(|wanted| {
            self.keys
                .iter()
                .filter(signs)
                .find(|(names, _)| names.iter().any(|name| fits(name, wanted)))
        });
        // One that does not fit is better than none: the client may not check names.
        let any = || self.keys.iter().find(signs).or(self.keys.first());
        named.or_else(any).map(|(_, key)| key.clone())
    }
}

/// Whether a name of a certificate, perhaps with a `*` for its first label, is that of a host.
fn fits(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(rest) => {
            host.split_once('.').is_some_and(|(label, domain)| !label.is_empty() && domain == rest)
        }
        None => name == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_suites_are_those_of_go() {
        for suite in ring::ALL_CIPHER_SUITES {
            let name = go_name(suite.suite());
            assert!(name.starts_with("TLS_") && !name.contains("TLS13"), "{name}");
        }
    }

    #[test]
    fn every_configured_suite_and_curve_is_built() {
        let suites = [
            "TLS_AES_256_GCM_SHA384",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        ];
        let options = Tls {
            cipher_suites: suites.map(str::to_owned).to_vec(),
            curve_preferences: vec!["CurveP384".into(), "X25519".into()],
            ..Tls::default()
        };
        let provider = provider(&options);
        let names: Vec<String> =
            provider.cipher_suites.iter().map(|suite| go_name(suite.suite())).collect();
        assert_eq!(names[..3], suites);
        assert_eq!(names.len(), 5, "and the other two of TLS 1.3: {names:?}");
        let groups: Vec<_> = provider.kx_groups.iter().map(|group| group.name()).collect();
        assert_eq!(groups, [NamedGroup::secp384r1, NamedGroup::X25519]);
    }

    #[test]
    fn wildcards_stand_for_one_label() {
        assert!(fits("a.b", "a.b") && fits("*.b", "a.b"));
        assert!(
            !fits("*.b", "b") && !fits("*.b", ".b") && !fits("*.b", "x.a.b") && !fits("a.b", "b")
        );
    }
}
