//! What stands in a certificate: whom it names, how monitoring shows it, until when it holds.

use data_encoding::HEXLOWER;
use natterjack_core::auth::CertificateNames;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};

/// A client's certificate as `/connz` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerCertificate {
    /// Its subject after RFC 2253.
    pub(crate) subject: String,
    /// Hex SHA-256 of its public key (SubjectPublicKeyInfo): what `pinned_certs` lists.
    pub(crate) spki_sha256: String,
    /// Hex SHA-256 of all of it.
    pub(crate) cert_sha256: String,
}

fn hex_sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

impl PeerCertificate {
    /// Reads a certificate in DER; `None` if it is none.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(PeerCertificate {
            subject: subject_text(certificate.subject()),
            spki_sha256: hex_sha256(certificate.public_key().raw),
            cert_sha256: hex_sha256(der),
        })
    }
}

/// Until when a certificate holds, in seconds since 1970.
pub(crate) fn not_after(der: &[u8]) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

/// The DNS names that a certificate is for, in lower case.
pub(crate) fn dns_names(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Vec::new() };
    let mut names = Vec::new();
    for name in general_names(&certificate) {
        if let GeneralName::DNSName(name) = name {
            names.push(name.to_ascii_lowercase());
        }
    }
    names
}

/// Whom a certificate names.
pub(crate) fn names(der: &[u8]) -> CertificateNames {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return CertificateNames::default();
    };
    let (mut emails, mut hosts, mut uris) = (Vec::new(), Vec::new(), Vec::new());
    for name in general_names(&certificate) {
        match name {
            GeneralName::RFC822Name(email) => emails.push((*email).to_owned()),
            GeneralName::DNSName(host) => hosts.push((*host).to_owned()),
            GeneralName::URI(uri) => uris.push((*uri).to_owned()),
            _ => {}
        }
    }
    let subject = certificate.subject();
    let attributes: Vec<(String, String)> = subject
        .iter_attributes()
        .map(|attribute| {
            let oid = attribute.attr_type().to_id_string();
            let kind = short_name(&oid).map_or(oid, str::to_owned);
            (kind, attribute_text(attribute))
        })
        .collect();
    let plain = subject_text(subject);
    let components: Vec<String> = attributes
        .iter()
        .rev()
        .filter(|(kind, _)| kind == "DC")
        .map(|(_, value)| format!("DC={value}"))
        .collect();
    let mut texts = Vec::new();
    if !components.is_empty() {
        texts.push(format!("{plain},{}", components.join(",")));
    }
    texts.push(plain);
    CertificateNames { alternatives: [emails, hosts, uris].concat(), attributes, texts }
}

fn general_names<'a>(certificate: &'a X509Certificate<'_>) -> &'a [GeneralName<'a>] {
    match certificate.subject_alternative_name() {
        Ok(Some(extension)) => &extension.value.general_names,
        _ => &[],
    }
}

fn attribute_text(attribute: &x509_parser::x509::AttributeTypeAndValue<'_>) -> String {
    match attribute.as_str() {
        Ok(text) => text.to_owned(),
        Err(_) => String::from_utf8_lossy(attribute.as_slice()).into_owned(),
    }
}

/// The short names that distinguished names use, and the order in which Go prints those of a subject.
const PRINTED: [(&str, &str); 9] = [
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.3", "CN"),
    ("2.5.4.17", "POSTALCODE"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.8", "ST"),
    ("2.5.4.7", "L"),
    ("2.5.4.11", "OU"),
    ("2.5.4.10", "O"),
    ("2.5.4.6", "C"),
];

fn short_name(oid: &str) -> Option<&'static str> {
    match oid {
        "0.9.2342.19200300.100.1.25" => Some("DC"),
        "0.9.2342.19200300.100.1.1" => Some("UID"),
        _ => PRINTED.iter().find(|(known, _)| *known == oid).map(|(_, name)| *name),
    }
}

/// A subject as Go prints it: attributes of a kind together, joined by `+`, the kinds in a fixed order,
/// those that Go does not know left out.
fn subject_text(subject: &X509Name<'_>) -> String {
    let mut parts = Vec::new();
    for (oid, name) in PRINTED {
        let values: Vec<String> = subject
            .iter_attributes()
            .filter(|attribute| attribute.attr_type().to_id_string() == oid)
            .map(|attribute| format!("{name}={}", escape(&attribute_text(attribute))))
            .collect();
        // Of these two a subject has one: the last.
        let values = match name {
            "CN" | "SERIALNUMBER" => &values[values.len().saturating_sub(1)..],
            _ => &values[..],
        };
        if !values.is_empty() {
            parts.push(values.join("+"));
        }
    }
    parts.join(",")
}

/// RFC 2253, as Go escapes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    for (at, char) in text.chars().enumerate() {
        let is_special = match char {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            '#' => at == 0,
            ' ' => at == 0 || at == last,
            _ => false,
        };
        if is_special {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    #[test]
    fn a_certificate_is_read() {
        let mut params = CertificateParams::new(vec!["Example.com".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::Rfc822Name("me@example.com".try_into().unwrap()));
        params.subject_alt_names.push(SanType::URI("spiffe://x/y".try_into().unwrap()));
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in [
            (DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 25]), "com"),
            (DnType::CountryName, "EN"),
            (DnType::OrganizationName, "a, b"),
            (DnType::CommonName, "me"),
        ] {
            params.distinguished_name.push(kind, value);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let names = names(certificate.der());
        assert_eq!(names.alternatives, ["me@example.com", "Example.com", "spiffe://x/y"]);
        assert_eq!(names.texts, ["CN=me,O=a\\, b,C=EN,DC=com", "CN=me,O=a\\, b,C=EN"]);
        assert!(names.attributes.contains(&("O".to_owned(), "a, b".to_owned())));
        assert_eq!(dns_names(certificate.der()), ["example.com"]);
        let shown = PeerCertificate::read(certificate.der()).unwrap();
        assert_eq!(shown.subject, "CN=me,O=a\\, b,C=EN");
        assert_eq!(
            shown.spki_sha256,
            hex_sha256(&rcgen::PublicKeyData::subject_public_key_info(&key))
        );
        assert!(not_after(certificate.der()).is_some());
        assert_eq!(PeerCertificate::read(b"no"), None);
    }
}
