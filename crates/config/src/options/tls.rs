//! `tls` blocks: certificates, who must show one, and how the handshake goes.

use super::decode::{Decoder, set, set_some};
use super::unsupported;
use crate::duration;
use crate::language::{Entry, Kind, Map};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long a TLS handshake may take by default.
pub const DEFAULT_TLS_TIMEOUT: Duration = Duration::from_secs(2);
/// How long `handshake_first: auto` waits for the client to speak first.
pub const HANDSHAKE_FALLBACK: Duration = Duration::from_millis(50);

/// A `tls` block of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificates with their keys; a client is shown the one that fits the name it asks for.
    pub certificates: Vec<CertificateFiles>,
    /// The authorities whose certificates clients may show.
    pub ca_file: Option<String>,
    /// Clients must show a certificate. `verify_and_map` implies it.
    pub verify: bool,
    /// The certificate names the user.
    pub verify_and_map: bool,
    /// How long a handshake may take; 2 seconds.
    pub timeout: Duration,
    /// Whether the handshake comes before INFO.
    pub handshake_first: HandshakeFirst,
    /// Lower-case hex SHA-256 of the public keys (SubjectPublicKeyInfo) that clients may have; empty
    /// admits all.
    pub pinned_certs: BTreeSet<String>,
    /// The oldest version; 1.2.
    pub min_version: TlsVersion,
    /// The cipher suites in order of preference, by Go's names; empty is the library's choice.
    pub cipher_suites: Vec<String>,
    /// The key exchanges in order of preference, by Go's names; empty is the library's choice.
    pub curve_preferences: Vec<String>,
    /// Handshakes per second; `None` is unlimited.
    pub connection_rate_limit: Option<u64>,
}

impl Default for Tls {
    fn default() -> Self {
        Tls {
            certificates: Vec::new(),
            ca_file: None,
            verify: false,
            verify_and_map: false,
            timeout: DEFAULT_TLS_TIMEOUT,
            handshake_first: HandshakeFirst::No,
            pinned_certs: BTreeSet::new(),
            min_version: TlsVersion::V12,
            cipher_suites: Vec::new(),
            curve_preferences: Vec::new(),
            connection_rate_limit: None,
        }
    }
}

/// A certificate chain with its key, both in PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// Whether the TLS handshake comes before INFO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HandshakeFirst {
    /// INFO comes first, in clear.
    #[default]
    No,
    /// The handshake comes first; nothing is sent in clear.
    Always,
    /// The handshake comes first for a client that speaks within this time; others are sent INFO.
    Within(Duration),
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    V12,
    /// TLS 1.3.
    V13,
}

/// Cipher suites that are built, by Go's names.
const SUITES: [&str; 9] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// Key exchanges that are built, by Go's names.
const CURVES: [&str; 3] = ["X25519", "CurveP256", "CurveP384"];

/// Key exchanges that nats-server has beside those.
const OTHER_CURVES: [&str; 4] =
    ["CurveP521", "SecP384r1MLKEM1024", "SecP256r1MLKEM768", "X25519MLKEM768"];

/// Reads a `tls` block of a listener.
pub(super) fn tls(d: &mut Decoder<'_>, entry: &Entry) -> Option<Tls> {
    let map = d.map(entry)?;
    let mut tls = Tls::default();
    let mut single = CertificateFiles::default();
    let mut has_list = false;
    for item in map.iter() {
        match item.key.to_ascii_lowercase().as_str() {
            "cert_file" => set(&mut single.certificate, d.string(item)),
            "key_file" => set(&mut single.key, d.string(item)),
            "certs" => {
                has_list = true;
                tls.certificates = certificates(d, item);
            }
            "ca_file" => set_some(&mut tls.ca_file, d.string(item).filter(|path| !path.is_empty())),
            "verify" => tls.verify |= d.bool(item) == Some(true),
            "verify_and_map" => {
                set(&mut tls.verify_and_map, d.bool(item));
                tls.verify |= tls.verify_and_map;
            }
            "timeout" => set(&mut tls.timeout, d.timeout(item, "tls", "wrong type")),
            "cipher_suites" => tls.cipher_suites = suites(d, item),
            "curve_preferences" => tls.curve_preferences = curves(d, item),
            "min_version" => set(&mut tls.min_version, version(d, item)),
            "pinned_certs" => tls.pinned_certs = pins(d, item),
            "connection_rate_limit" => {
                let limit = d.integer(item).and_then(|number| u64::try_from(number).ok());
                tls.connection_rate_limit = limit.filter(|limit| *limit > 0);
            }
            "handshake_first" | "first" | "immediate" => {
                set(&mut tls.handshake_first, handshake_first(d, item));
            }
            // For those who connect; nats-server takes it from a listener without effect.
            "insecure" => drop(d.bool(item)),
            "verify_cert_and_check_known_urls" => {
                if d.bool(item) == Some(true) {
                    let text = "verify_cert_and_check_known_urls not supported in this context";
                    d.error(&item.value.position, text);
                }
            }
            "allow_insecure_cipher_suites"
            | "ocsp_peer"
            | "cert_store"
            | "cert_match_by"
            | "cert_match"
            | "cert_match_skip_invalid"
            | "ca_certs_match" => {
                if !unsupported::says_off(item) {
                    d.refuse(item);
                }
            }
            _ => {
                d.unknown_with(item, |key| format!("error parsing tls config, unknown field {key}"))
            }
        }
    }
    add_single(d, entry, &mut tls, single, has_list);
    Some(tls)
}

fn add_single(
    d: &mut Decoder<'_>,
    entry: &Entry,
    tls: &mut Tls,
    single: CertificateFiles,
    has_list: bool,
) {
    let position = &entry.value.position;
    match (single.certificate.is_empty(), single.key.is_empty()) {
        (true, true) => {}
        _ if has_list => d.error(
            position,
            "error parsing tls config, cannot combine 'cert_file' option with 'certs' option",
        ),
        (false, true) => d.error(position, "missing 'key_file' in TLS configuration"),
        (true, false) => d.error(position, "missing 'cert_file' in TLS configuration"),
        (false, false) => tls.certificates.push(single),
    }
}

fn certificates(d: &mut Decoder<'_>, entry: &Entry) -> Vec<CertificateFiles> {
    let Kind::Array(items) = &entry.value.kind else {
        d.error(&entry.value.position, "error parsing tls config, expected 'certs' to be a list");
        return Vec::new();
    };
    let mut list = Vec::new();
    for value in items.iter() {
        let Kind::Map(map) = &value.kind else {
            d.error(&value.position, "error parsing certificates config: expected a map");
            continue;
        };
        let mut files = CertificateFiles::default();
        for item in Map::iter(map) {
            match item.key.to_ascii_lowercase().as_str() {
                "cert_file" => set(&mut files.certificate, d.string(item)),
                "key_file" => set(&mut files.key, d.string(item)),
                _ => d.unknown_with(item, |key| {
                    format!("error parsing tls certs config, unknown field {key}")
                }),
            }
        }
        if files.certificate.is_empty() || files.key.is_empty() {
            let text = "error parsing certificates config: both 'cert_file' and 'cert_key' options \
                        are required";
            d.error(&value.position, text);
        } else {
            list.push(files);
        }
    }
    list
}

fn suites(d: &mut Decoder<'_>, entry: &Entry) -> Vec<String> {
    let names = d.strings(entry).unwrap_or_default();
    if names.is_empty() {
        let text = "error parsing tls config, 'cipher_suites' cannot be empty";
        d.error(&entry.value.position, text);
    }
    for name in &names {
        if !SUITES.contains(&name.as_str()) {
            let text = match name.starts_with("TLS_") {
                true => format!("cipher {name} is not supported yet"),
                false => format!("unrecognized cipher {name}"),
            };
            d.error(&entry.value.position, text);
        }
    }
    names
}

fn curves(d: &mut Decoder<'_>, entry: &Entry) -> Vec<String> {
    let names = d.strings(entry).unwrap_or_default();
    if names.is_empty() {
        let text = "error parsing tls config, 'curve_preferences' cannot be empty";
        d.error(&entry.value.position, text);
    }
    for name in &names {
        if !CURVES.contains(&name.as_str()) {
            let text = match OTHER_CURVES.contains(&name.as_str()) {
                true => format!("curve preference {name} is not supported yet"),
                false => format!("unrecognized curve preference {name}"),
            };
            d.error(&entry.value.position, text);
        }
    }
    names
}

fn version(d: &mut Decoder<'_>, entry: &Entry) -> Option<TlsVersion> {
    let text = d.string(entry)?;
    match text.as_str() {
        "1.2" => return Some(TlsVersion::V12),
        "1.3" => return Some(TlsVersion::V13),
        "1.0" | "1.1" => d.error(
            &entry.value.position,
            format!("error parsing tls config: unsupported TLS version: TLS {text}"),
        ),
        _ => d.error(
            &entry.value.position,
            format!("error parsing tls config: unknown version: {text}"),
        ),
    }
    None
}

fn pins(d: &mut Decoder<'_>, entry: &Entry) -> BTreeSet<String> {
    let Kind::Array(items) = &entry.value.kind else {
        let text = "error parsing tls config, expected 'pinned_certs' to be a list of hex-encoded \
                    sha256 of DER encoded SubjectPublicKeyInfo";
        d.error(&entry.value.position, text);
        return BTreeSet::new();
    };
    let mut pins = BTreeSet::new();
    for value in items.iter() {
        let text = value.kind.as_str().unwrap_or_default().to_ascii_lowercase();
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            pins.insert(text);
        } else {
            let text = format!(
                "error parsing tls config, 'pinned_certs' key {text} does not look like \
                 hex-encoded sha256 of DER encoded SubjectPublicKeyInfo"
            );
            d.error(&value.position, text);
        }
    }
    pins
}

fn handshake_first(d: &mut Decoder<'_>, entry: &Entry) -> Option<HandshakeFirst> {
    let position = &entry.value.position;
    let text = match &entry.value.kind {
        Kind::Bool(true) => return Some(HandshakeFirst::Always),
        Kind::Bool(false) => return Some(HandshakeFirst::No),
        Kind::String(text) => text,
        kind => {
            let noun = kind.noun();
            let text = format!("field {:?} should be a boolean or a string, got {noun}", entry.key);
            d.error(position, text);
            return None;
        }
    };
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" => Some(HandshakeFirst::Always),
        "false" | "off" => Some(HandshakeFirst::No),
        "auto" | "auto_fallback" => Some(HandshakeFirst::Within(HANDSHAKE_FALLBACK)),
        text => match duration::parse_positive(text) {
            Ok(delay) => Some(HandshakeFirst::Within(delay)),
            Err(_) => {
                let text = format!("field {:?}'s value {text:?} is invalid", entry.key);
                d.error(position, text);
                None
            }
        },
    }
}
