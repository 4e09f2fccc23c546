//! `natterjack auth quick DIR`: an operator, accounts, users and the server's configuration, all new.
//!
//! ```text
//! DIR/server.conf      operator, system account, both accounts, JetStream
//! DIR/admin.creds      account APP, may do everything
//! DIR/demo.creds       account APP, may do everything but use the subject demo.secret
//! DIR/sys.creds        system account
//! DIR/expired.creds    as demo, but it expired three hours ago: to see it refused
//! DIR/revoked.creds    as demo, but the account revoked it: to see it refused
//! DIR/keys/*.nk        seeds of the operator and the accounts, which sign new users
//! ```

use std::path::{Path, PathBuf};

use clap::Args;
use natterjack_core::jwt::{AccountClaims, JetStreamClaimLimits, OperatorClaims, UserClaims};
use nkeys::KeyPair;
use serde_json::json;

use super::files::{make_directory, write_private};
use super::{creds, now, seed, system_exports, unsigned};
use crate::exit::{Failure, Outcome, status};
use crate::output::{Output, Paint};

/// Make all that a server with credentials needs.
#[derive(Debug, Args)]
pub(crate) struct Quick {
    /// Directory for the files; made if need be
    dir: PathBuf,
    /// Port in server.conf
    #[arg(short, long, default_value_t = 4222, value_name = "PORT")]
    port: u16,
    /// Replace what an earlier call made; its credentials become worthless
    #[arg(short, long)]
    force: bool,
}

/// The subject that the demo user may not use.
const SECRET: &str = "demo.secret";

/// Age of `expired.creds` past its end, in seconds.
const EXPIRED_FOR: i64 = 3 * 3600;

/// The credentials files: name, and what they are for.
const CREDS: [(&str, &str); 5] = [
    ("admin", "account APP, may do everything"),
    ("demo", "account APP, may not use the subject demo.secret"),
    ("sys", "system account"),
    ("expired", "as demo, expired 3 hours ago: to see it refused"),
    ("revoked", "as demo, revoked by its account: to see it refused"),
];

/// The seeds below `keys/`.
const KEYS: [&str; 3] = ["operator", "SYS", "APP"];

impl Quick {
    pub(crate) fn run(self, out: Output) -> Outcome {
        let (dir, made) = self.write()?;
        self.tell(out, &dir, &made);
        Ok(())
    }

    /// Makes the files without a word; their directory.
    pub(crate) fn make(dir: PathBuf, port: u16) -> Result<PathBuf, Failure> {
        Ok(Self { dir, port, force: true }.write()?.0)
    }

    fn write(&self) -> Result<(PathBuf, Made), Failure> {
        let made = Made::new(now())?;
        make_directory(&self.dir)?;
        // The configuration names its own directory: it must work from everywhere.
        let dir = std::path::absolute(&self.dir)
            .map_err(|error| Failure::io(self.dir.display(), &error))?;
        self.make_room(&dir)?;
        make_directory(&dir.join("keys"))?;
        for (name, seed) in KEYS.iter().zip(&made.seeds) {
            write_private(&dir.join("keys").join(format!("{name}.nk")), &format!("{seed}\n"))?;
        }
        for ((name, _), text) in CREDS.iter().zip(&made.creds) {
            write_private(&dir.join(format!("{name}.creds")), text)?;
        }
        write_private(&dir.join("server.conf"), &made.server_conf(&dir, self.port))?;
        Ok((dir, made))
    }

    /// Refuses to lose keys, or removes them.
    fn make_room(&self, dir: &Path) -> Outcome {
        let files = KEYS
            .iter()
            .map(|name| dir.join("keys").join(format!("{name}.nk")))
            .chain(CREDS.iter().map(|(name, _)| dir.join(format!("{name}.creds"))))
            .chain([dir.join("server.conf")]);
        for file in files.filter(|file| file.exists()) {
            if !self.force {
                let text = format!("{} exists", file.display());
                return Err(Failure::new(status::CONFLICT, "auth.exists", text)
                    .hint("another directory, or -f to replace it"));
            }
            std::fs::remove_file(&file).map_err(|error| Failure::io(file.display(), &error))?;
        }
        Ok(())
    }

    fn tell(&self, out: Output, dir: &Path, made: &Made) {
        let path = |name: &str| dir.join(name).display().to_string();
        if out.json {
            let creds: serde_json::Map<_, _> = CREDS
                .iter()
                .map(|(name, _)| ((*name).to_owned(), path(&format!("{name}.creds")).into()))
                .collect();
            out.document(&json!({
                "server_conf": path("server.conf"),
                "operator": made.operator,
                "accounts": {"SYS": made.system, "APP": made.app},
                "creds": creds,
                "keys": path("keys"),
            }));
            return;
        }
        out.line(format!("Made in {}:\n", dir.display()));
        out.line(format!("  {:<14} operator, accounts SYS and APP, JetStream", "server.conf"));
        for (name, purpose) in CREDS {
            out.line(format!("  {:<14} {purpose}", format!("{name}.creds")));
        }
        out.line(format!("  {:<14} seeds that sign new users: keep them secret\n", "keys/"));
        let port = match self.port {
            4222 => String::new(),
            port => format!(" -s nats://127.0.0.1:{port}"),
        };
        let conf = quoted(&path("server.conf"));
        let demo = quoted(&path("demo.creds"));
        out.line(format!("Start the server:\n\n  natterjack serve -c {conf}\n"));
        out.line("Then try:\n");
        for (command, note) in [
            (format!("natterjack{port} --creds {demo} account info"), ""),
            (format!("natterjack{port} --creds {demo} pub foo hello"), ""),
            (format!("natterjack{port} --creds {demo} pub {SECRET} x"), "  # is refused"),
        ] {
            out.line(format!("  {command}{}", out.paint(Paint::Dim, note)));
        }
    }
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    shell_words::quote(path).into_owned()
}

/// All that is made, before it is written.
struct Made {
    /// Public keys.
    operator: String,
    system: String,
    app: String,
    operator_jwt: String,
    system_jwt: String,
    app_jwt: String,
    /// In the order of [`KEYS`].
    seeds: [String; 3],
    /// In the order of [`CREDS`].
    creds: [String; 5],
}

impl Made {
    fn new(now: i64) -> Result<Self, Failure> {
        let operator = KeyPair::new_operator();
        let system = KeyPair::new_account();
        let app = KeyPair::new_account();
        let revoked = KeyPair::new_user();

        let mut operator_claims = OperatorClaims::new("natterjack", &operator.public_key());
        operator_claims.nats.system_account = system.public_key();

        let mut system_claims = AccountClaims::new("SYS", &system.public_key());
        system_claims.nats.exports = system_exports();

        let mut app_claims = AccountClaims::new("APP", &app.public_key());
        app_claims.nats.limits.jetstream = JetStreamClaimLimits::unlimited();
        app_claims.nats.revocations.insert(revoked.public_key(), now);

        let demo = |name: &str, key: &KeyPair| {
            let mut claims = UserClaims::new(name, &key.public_key());
            claims.nats.permissions.publish.deny.push(SECRET.to_owned());
            claims.nats.permissions.subscribe.deny.push(SECRET.to_owned());
            claims
        };
        let credentials = |claims: UserClaims, key: &KeyPair, account: &KeyPair, now: i64| {
            creds(claims, key, account, now).map(|(_, text)| text)
        };
        let new_user = |name: &str, account: &KeyPair| {
            let key = KeyPair::new_user();
            credentials(UserClaims::new(name, &key.public_key()), &key, account, now)
        };
        let demo_key = KeyPair::new_user();
        let expired_key = KeyPair::new_user();
        let mut expired = demo("expired", &expired_key);
        expired.exp = now - EXPIRED_FOR;
        Ok(Self {
            operator: operator.public_key(),
            system: system.public_key(),
            app: app.public_key(),
            operator_jwt: operator_claims.encode(&operator, now).map_err(unsigned)?,
            system_jwt: system_claims.encode(&operator, now).map_err(unsigned)?,
            app_jwt: app_claims.encode(&operator, now).map_err(unsigned)?,
            seeds: [seed(&operator)?, seed(&system)?, seed(&app)?],
            creds: [
                new_user("admin", &app)?,
                credentials(demo("demo", &demo_key), &demo_key, &app, now)?,
                new_user("sys", &system)?,
                credentials(expired, &expired_key, &app, now - 2 * EXPIRED_FOR)?,
                credentials(demo("revoked", &revoked), &revoked, &app, now)?,
            ],
        })
    }

    fn server_conf(&self, dir: &Path, port: u16) -> String {
        let store = dir.join("jetstream").display().to_string();
        let store = store.replace('\\', "\\\\").replace('"', "\\\"");
        let Self { operator_jwt, system, system_jwt, app, app_jwt, .. } = self;
        format!(
            "# Written by `natterjack auth quick`; read by `natterjack serve -c` and `nats-server -c`.\n\
             host: \"127.0.0.1\"\n\
             port: {port}\n\
             \n\
             jetstream {{\n  store_dir: \"{store}\"\n}}\n\
             \n\
             operator: {operator_jwt}\n\
             system_account: {system}\n\
             \n\
             resolver: MEMORY\n\
             resolver_preload {{\n  # SYS\n  {system}: {system_jwt}\n  # APP\n  {app}: {app_jwt}\n}}\n"
        )
    }
}
