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
    for (name, host) in [("server", "127.0.0.1"), ("client", "me"), ("other", "other.example")] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
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

// Shows a part of U-016.
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

// Shows a part of U-016.
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
    let foreign = certificates();
    let issuer = failure("server", Tls::native().ca(foreign.path().join("ca.pem"))).await;
    // Authorities of the same name: it is the signature that tells them apart.
    assert!(issuer.contains("BadSignature"), "{issuer}");
    let missing = builder("tls://127.0.0.1:1").tls(Tls::native().ca("/no/such.pem"));
    assert_eq!(missing.build().await.err().unwrap().code(), "tls.failed", "before any connection");
}
