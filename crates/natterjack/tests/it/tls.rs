//! TLS against the embedded server: authorities, client certificates, handshake first.

use natterjack::Tls;
use natterjack::server::Server;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::builder;

/// A directory with `ca.pem`, and `server` and `client` with their keys.
fn certificates() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(directory.path().join(name), text);
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    write("ca.pem", issuer.pem()).unwrap();
    for (name, host) in [
        ("server", "127.0.0.1"),
        ("client", "me"),
        ("other", "other.example"),
        ("expired", "127.0.0.1"),
    ] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        if name == "expired" {
            (params.not_before, params.not_after) =
                (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
        }
        write(&format!("{name}.pem"), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
        write(&format!("{name}-key.pem"), key.serialize_pem()).unwrap();
    }
    directory
}

async fn server(directory: &tempfile::TempDir, certificate: &str, tls: &str) -> Server {
    let at = directory.path().display();
    let text = format!(
        "host: 127.0.0.1, port: -1\ntls {{cert_file: \"{at}/{certificate}.pem\", \
         key_file: \"{at}/{certificate}-key.pem\", {tls}}}"
    );
    Server::builder().config(&text).unwrap().start().await.unwrap()
}

// Shows U-016.
#[tokio::test]
async fn authorities_client_certificates_and_handshake_first_work() {
    let directory = certificates();
    let at = |name: &str| directory.path().join(name);
    let verify = format!("verify: true, ca_file: \"{}\"", at("ca.pem").display());
    for (first, tls) in
        [(false, verify.clone()), (true, format!("{verify}, handshake_first: true"))]
    {
        let server = server(&directory, "server", &tls).await;
        let identity = Tls::native()
            .first(first)
            .ca(at("ca.pem"))
            .identity(at("client.pem"), at("client-key.pem"));
        let connector = builder(server.client_url()).tls(identity).build().await.unwrap();
        connector.flush(super::PATIENCE).await.unwrap();
        connector.close().await.unwrap();
        // Without a certificate of one's own.
        let nobody = Tls::native().first(first).ca(at("ca.pem"));
        assert!(builder(server.client_url()).tls(nobody).build().await.is_err());
        server.shutdown().await;
    }
}

// Shows U-016.
#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said() {
    let directory = certificates();
    let ca = || Tls::native().ca(directory.path().join("ca.pem"));
    let failure = async |certificate: &str, tls: Tls| {
        let server = server(&directory, certificate, "").await;
        let error = builder(server.client_url()).tls(tls).build().await.err().unwrap();
        server.shutdown().await;
        error.to_string()
    };
    let name = failure("other", ca()).await;
    assert!(name.contains("not valid for name"), "{name}");
    let expired = failure("expired", ca()).await;
    assert!(expired.contains("expired"), "{expired}");
    let foreign = certificates();
    let issuer = failure("server", Tls::native().ca(foreign.path().join("ca.pem"))).await;
    // Authorities of the same name: it is the signature that tells them apart.
    assert!(issuer.contains("BadSignature"), "{issuer}");
    // Three faults, three texts.
    assert!(name != expired && expired != issuer && name != issuer);
    let missing = builder("tls://127.0.0.1:1").tls(Tls::native().ca("/no/such.pem"));
    assert_eq!(missing.build().await.err().unwrap().code(), "tls.failed", "before any connection");
}

// Shows U-016.
#[tokio::test]
async fn a_certificate_may_have_another_name_than_the_address() {
    let directory = certificates();
    let ca = || Tls::native().ca(directory.path().join("ca.pem"));
    let server = server(&directory, "other", "").await;
    let url = server.client_url();
    let named = builder(url.clone()).tls(ca().server_name("other.example")).build().await.unwrap();
    named.flush(super::PATIENCE).await.unwrap();
    named.close().await.unwrap();
    let wrong = builder(url.clone()).tls(ca().server_name("third.example")).build().await;
    let wrong = wrong.err().unwrap().to_string();
    assert!(wrong.contains("third.example"), "{wrong}");
    // All else is checked as ever.
    let foreign = certificates();
    let tls = Tls::native().ca(foreign.path().join("ca.pem")).server_name("other.example");
    assert!(builder(url.clone()).tls(tls).build().await.is_err());
    let bad = builder(url).tls(ca().server_name("no name")).build().await.err().unwrap();
    assert_eq!(bad.code(), "tls.failed");
    server.shutdown().await;
}
