//! The options for TLS, in all the places where they may stand, against a server whose authority is known
//! to nobody else and which asks for a certificate.

use std::process::Command;

use natterjack_server::Server;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::{bare, end};

/// A directory with `ca.pem`, and the certificates `server` and `client` with their keys.
fn certificates() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(directory.path().join(name), text);
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    write("ca.pem", issuer.pem()).unwrap();
    for (name, host) in [("server", "127.0.0.1"), ("client", "me")] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        write(&format!("{name}.pem"), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
        write(&format!("{name}-key.pem"), key.serialize_pem()).unwrap();
    }
    directory
}

/// A server with TLS, and what clients need for it.
struct Secured {
    server: Server,
    directory: tempfile::TempDir,
}

impl Secured {
    fn start(more: &str) -> Self {
        let directory = certificates();
        let at = directory.path().display();
        // A slow machine takes seconds to read the authorities that all programs trust.
        let text = format!(
            "host: 127.0.0.1, port: -1\ntls {{cert_file: \"{at}/server.pem\", \
             key_file: \"{at}/server-key.pem\", ca_file: \"{at}/ca.pem\", verify: true, timeout: 60, {more}}}"
        );
        let server = Server::builder().config(&text).unwrap().start_blocking().unwrap();
        Self { server, directory }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// The command with these of the three files as options.
    fn command(&self, options: &[&str], arguments: &[&str]) -> Command {
        let mut command = bare(arguments);
        command.args(["-s", &self.server.client_url(), "--timeout", "2m"]);
        for option in options {
            command.arg(option);
            match *option {
                "--tlsca" => drop(command.arg(self.path("ca.pem"))),
                "--tlscert" => drop(command.arg(self.path("client.pem"))),
                "--tlskey" => drop(command.arg(self.path("client-key.pem"))),
                _ => {}
            }
        }
        command
    }
}

const ALL: [&str; 3] = ["--tlsca", "--tlscert", "--tlskey"];

// Shows U-016.
#[test]
fn a_certificate_and_an_authority_are_options() {
    let secured = Secured::start("");
    end(secured.command(&ALL, &["pub", "a", "b"])).ok();
    let rtt = end(secured.command(&ALL, &["rtt", "1", "--json"])).ok().json();
    assert!(rtt["rtt_ns"].as_u64().unwrap() > 0);
    // Who is not trusted, and who shows nothing, comes not in.
    for options in [&[][..], &["--tlsca"], &["--tlscert", "--tlskey"]] {
        let ended = end(secured.command(options, &["pub", "a", "b"]));
        let ended = ended.exits(3);
        assert!(ended.err.to_lowercase().contains("certificate"), "{options:?}: {ended:?}");
    }
    // Half an identity is none.
    end(secured.command(&["--tlsca", "--tlscert"], &["pub", "a", "b"])).exits(2);
    let mut missing = bare(&["pub", "a", "b", "--tlsca", "/nonexistent/ca.pem"]);
    missing.args(["-s", &secured.server.client_url()]);
    let ended = end(missing);
    assert!(ended.code != Some(0) && ended.err.contains("/nonexistent/ca.pem"), "{ended:?}");
}

#[test]
fn the_environment_and_contexts_name_them_too() {
    let secured = Secured::start("");
    let mut by_env = secured.command(&[], &["pub", "a", "b"]);
    by_env
        .env("NATS_CA", secured.path("ca.pem"))
        .env("NATS_CERT", secured.path("client.pem"))
        .env("NATS_KEY", secured.path("client-key.pem"));
    end(by_env).ok();

    let home = tempfile::tempdir().unwrap();
    let mut save = secured.command(&ALL, &["context", "save", "secured"]);
    save.env("XDG_CONFIG_HOME", home.path());
    end(save).ok();
    let mut by_context = bare(&["--context", "secured", "pub", "a", "b"]);
    by_context.env("XDG_CONFIG_HOME", home.path());
    end(by_context).ok();
}

#[test]
fn tls_may_come_before_the_first_word_of_the_server() {
    let secured = Secured::start("handshake_first: true");
    let options = [&ALL[..], &["--tlsfirst"]].concat();
    end(secured.command(&options, &["pub", "a", "b"])).ok();

    let home = tempfile::tempdir().unwrap();
    let mut save = secured.command(&options, &["context", "save", "first"]);
    save.env("XDG_CONFIG_HOME", home.path());
    end(save).ok();
    let mut by_context = bare(&["--context", "first", "pub", "a", "b"]);
    by_context.env("XDG_CONFIG_HOME", home.path());
    end(by_context).ok();
}
