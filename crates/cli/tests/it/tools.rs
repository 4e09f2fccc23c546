//! Operators, accounts, users and keys: what the tools write, and what servers make of it.

use std::path::{Path, PathBuf};

use natterjack_server::Server;
use serde_json::{Value, json};

use super::{Ended, bare, end};

/// A home of its own.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// `natterjack auth …`, the words separated by spaces; `DIR` is the home.
    fn auth(&self, line: &str) -> Ended {
        let line = line.replace("DIR", self.0.path().to_str().unwrap());
        self.run(&[&["auth"][..], &line.split(' ').collect::<Vec<_>>()].concat())
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = bare(arguments);
        command.env("HOME", self.0.path()).env("XDG_CONFIG_HOME", self.path("config"));
        end(command)
    }

    /// As [`auth`](Self::auth), with JSON.
    fn json(&self, line: &str) -> Value {
        self.auth(&format!("{line} --json")).ok().json()
    }

    /// Where credentials are kept.
    fn creds(&self, account: &str, user: &str) -> PathBuf {
        self.path(&format!(".local/share/nats/nsc/keys/creds/OP/{account}/{user}.creds"))
    }

    /// The command as a user, on a server.
    fn as_user(&self, server: &Server, account: &str, user: &str, arguments: &[&str]) -> Ended {
        let (url, creds) = (server.client_url(), self.creds(account, user));
        let login = ["-s", &url, "--creds", creds.to_str().unwrap()];
        self.run(&[&login[..], arguments].concat())
    }

    /// A server with the configuration that a resolver's verb writes.
    fn server(&self, verb: &str, name: &str) -> Server {
        let conf = self.path(name);
        self.auth(&format!("resolver {verb} --out {}", conf.display())).ok();
        let text = std::fs::read_to_string(&conf).unwrap();
        std::fs::write(&conf, format!("listen: \"127.0.0.1:-1\"\n{text}")).unwrap();
        Server::builder().config_file(&conf).unwrap().start_blocking().unwrap()
    }
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

// Shows a part of U-109.
#[test]
fn what_is_kept_lies_as_nsc_keeps_it_and_only_its_owner_reads_it() {
    let home = Home::new();
    home.auth("operator add OP").ok();
    home.auth("account add APP --description x --tag a:b").ok();
    home.auth("user add ann APP --pub-allow orders.>").ok();
    let data = home.path(".local/share/nats/nsc");
    for file in [
        "stores/OP/.nsc",
        "stores/OP/OP.jwt",
        "stores/OP/accounts/SYS/SYS.jwt",
        "stores/OP/accounts/SYS/users/sys.jwt",
        "stores/OP/accounts/APP/APP.jwt",
        "stores/OP/accounts/APP/users/ann.jwt",
        "keys/creds/OP/APP/ann.creds",
        "keys/creds/OP/SYS/sys.creds",
    ] {
        assert!(data.join(file).is_file(), "{file}");
    }
    let about: Value =
        serde_json::from_slice(&std::fs::read(data.join("stores/OP/.nsc")).unwrap()).unwrap();
    let wanted = json!({"managed": false, "name": "OP", "kind": "operator", "version": "1"});
    assert_eq!(about, wanted);
    // A seed by its public key: letter, the next two, the whole.
    let seeds: Vec<PathBuf> = files(&data.join("keys/keys"));
    assert_eq!(seeds.len(), 8, "operator, SYS, APP, each with a signing key; two users: {seeds:?}");
    let mut secrets = Vec::new();
    for file in &seeds {
        let text = std::fs::read_to_string(file).unwrap();
        let public = nkeys::KeyPair::from_seed(&text).unwrap().public_key();
        let place = format!("{}/{}/{public}.nk", &public[..1], &public[1..3]);
        assert!(file.ends_with(&place), "{file:?}");
        secrets.push(text);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        for file in files(&data) {
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&file), 0o600, "{file:?}");
            assert_eq!(mode(file.parent().unwrap()), 0o700, "{file:?}");
        }
    }
    // Nothing that shows something shows a seed.
    let creds = home.creds("APP", "ann");
    for line in [
        "operator info",
        "operator ls",
        "operator keys ls",
        "account info APP",
        "account ls",
        "account keys ls APP",
        "user info ann APP",
        "user ls",
        &format!("inspect {}", creds.display()),
        &format!("nkey show {}", seeds[0].display()),
    ] {
        for form in [line.to_owned(), format!("{line} --json")] {
            let shown = home.auth(&form).ok();
            assert!(!secrets.iter().any(|seed| shown.text().contains(seed)), "{form}: {shown:?}");
        }
    }
    // What is told of it, and names that do not fit.
    let user = home.json("user info ann APP");
    assert_eq!(user["nats"]["pub"]["allow"], json!(["orders.>"]));
    assert_eq!(home.auth("user ls APP -n").ok().text(), "ann\n");
    assert_eq!(home.json("account ls")[1]["system"], true);
    let missing = home.auth("account info APPP --json").exits(5).error();
    assert_eq!(missing["hint"], "did you mean APP?");
    assert_eq!(
        home.auth("user info anne APP --json").exits(5).error()["hint"],
        "did you mean ann?"
    );
    home.auth("account add ../evil").exits(2);
    home.auth("account add APP").exits(7);
    home.auth("operator add OP").exits(7);
    home.auth("account rm SYS -f").exits(7);
    // Nothing is left of what is removed.
    home.auth("user rm ann APP").exits(9);
    home.auth("user rm ann APP -f").ok();
    assert!(!creds.exists() && files(&data.join("keys/keys")).len() == 7);
    home.auth("account rm APP -f").ok();
    assert_eq!(files(&data.join("keys/keys")).len(), 5);
}

#[test]
fn one_of_several_operators_is_in_use() {
    let home = Home::new();
    let none = home.auth("account ls --json").exits(5).error();
    assert_eq!(none["hint"], "natterjack auth operator add NAME");
    home.auth("operator add ONE").ok();
    home.auth("operator add TWO").ok();
    assert_eq!(home.auth("operator ls -n").ok().text(), "ONE\nTWO\n");
    home.auth("operator select TWO").ok();
    home.auth("account add APP").ok();
    assert_eq!(home.auth("account ls -n --operator ONE").ok().text(), "SYS\n");
    assert_eq!(home.auth("account ls -n").ok().text(), "APP\nSYS\n");
    // What else `nsc` has in its file stays.
    let file = home.path("config/nats/nsc/nsc.json");
    let mut settings: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(settings["operator"], "TWO");
    settings["later"] = 1.into();
    std::fs::write(&file, settings.to_string()).unwrap();
    home.auth("operator select ONE").ok();
    let settings: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!((&settings["operator"], &settings["later"]), (&json!("ONE"), &json!(1)));
    // Also if it cannot be read.
    std::fs::write(&file, "{not JSON").unwrap();
    assert_eq!(home.auth("operator select TWO --json").exits(1).error()["code"], "auth.settings");
    assert_eq!(std::fs::read(&file).unwrap(), b"{not JSON");
    std::fs::remove_file(&file).unwrap();
    // An operator that was made elsewhere, which cannot sign without a seed.
    let elsewhere = Home::new();
    let token = home.text(".local/share/nats/nsc/stores/TWO/TWO.jwt");
    elsewhere.auth(&format!("operator import {token}")).ok();
    assert_eq!(elsewhere.auth("account add A --json").exits(5).error()["code"], "auth.no_seed");
    let other = home.json("operator info ONE")["sub"].as_str().unwrap().to_owned();
    let key = format!(".local/share/nats/nsc/keys/keys/O/{}/{other}.nk", &other[1..3]);
    let third = Home::new();
    third.auth(&format!("operator import {token} --key {}", home.text(&key))).exits(7);
}

// Shows U-110.
#[test]
fn roles_revocations_and_keys_of_the_tools_are_what_servers_enforce() {
    let home = Home::new();
    home.auth("operator add OP").ok();
    home.auth("account add APP").ok();
    home.auth(
        "account keys add APP --role service --pub-allow own.{{name()}} --sub-allow _INBOX.>",
    )
    .ok();
    home.auth("account keys add APP --role service").exits(7);
    home.auth("user add ann APP --key service").ok();
    home.auth("user add bob APP --pub-deny secret").ok();
    home.auth("user add eve APP --key service --pub-allow more").exits(2);
    let unknown = home.auth("user add eve APP --key servise --json").exits(5).error();
    assert_eq!(unknown["hint"], "did you mean service?");
    let server = home.server("full --dir DIR/jwt", "server.conf");
    let publish = |user: &str, subject: &str| {
        home.as_user(&server, "APP", user, &["pub", subject, "x"]).code.unwrap()
    };
    let push = || home.as_user(&server, "SYS", "sys", &["auth", "account", "push", "APP"]).ok();
    // Not known before it is pushed.
    assert_eq!(publish("bob", "any"), 4);
    push();
    assert_eq!([publish("ann", "own.ann"), publish("ann", "own.bob")], [0, 4]);
    assert_eq!([publish("bob", "any"), publish("bob", "secret")], [0, 4]);
    home.auth("account revoke APP bob").ok();
    push();
    assert_eq!([publish("bob", "any"), publish("ann", "own.ann")], [4, 0]);
    home.auth("account revoke APP bob --undo").ok();
    push();
    assert_eq!(publish("bob", "any"), 0);
    home.auth("account keys rm APP service").exits(9);
    home.auth("account keys rm APP service -f").ok();
    push();
    assert_eq!([publish("bob", "any"), publish("ann", "own.ann")], [0, 4]);
    // With signing keys required, the account's own key is none of them.
    home.auth("operator edit --require-signing-keys true").ok();
    let token = home.json("user edit bob APP");
    let account = home.json("account info APP");
    assert_eq!(token["iss"], account["nats"]["signing_keys"][0]);
    assert_eq!(token["nats"]["issuer_account"], account["sub"]);
    assert_eq!(token["nats"]["pub"]["deny"], json!(["secret"]));
    assert_eq!(publish("bob", "any"), 0);
    server.shutdown_blocking();
}

#[test]
fn credentials_for_a_while_are_signed_as_those_for_ever() {
    let home = Home::new();
    home.auth("operator add OP").ok();
    home.auth("account add APP").ok();
    home.auth("user add bob APP").ok();
    // From now on the key that has signed the user may not.
    home.auth("operator edit --require-signing-keys true").ok();
    home.auth("account edit APP").ok();
    let server = home.server("memory", "server.conf");
    home.auth("user creds bob APP --expire 1h --out DIR/bob.creds").ok();
    let token = home.json("inspect DIR/bob.creds");
    let account = home.json("account info APP");
    assert_eq!(token["iss"], account["nats"]["signing_keys"][0]);
    assert_eq!(token["nats"]["issuer_account"], account["sub"]);
    let login = ["-s", &server.client_url(), "--creds", &home.text("bob.creds")];
    home.run(&[&login[..], &["pub", "foo", "x"]].concat()).ok();
    server.shutdown_blocking();
}

#[test]
fn the_last_signing_key_stays_where_signing_keys_are_required() {
    let home = Home::new();
    home.auth("operator add OP").ok();
    home.auth("operator edit --require-signing-keys true").ok();
    let key = home.json("operator keys ls")[0]["key"].as_str().unwrap().to_owned();
    let refused = home.auth(&format!("operator keys rm {key} -f --json")).exits(2).error();
    assert_eq!(refused["hint"], "natterjack auth operator keys add");
    home.auth("operator keys add").ok();
    home.auth(&format!("operator keys rm {key} -f")).ok();
    home.auth("account add APP").ok();
}

#[test]
fn settings_that_cannot_be_read_are_told_and_not_passed_over() {
    let home = Home::new();
    home.auth("operator add OP").ok();
    std::fs::write(home.path("config/nats/nsc/nsc.json"), "{not JSON").unwrap();
    // It may name another directory of operators.
    for line in ["operator ls", "account ls", "operator add NEW"] {
        let error = home.auth(&format!("{line} --json")).exits(1).error();
        assert_eq!(error["code"], "auth.settings", "{line}");
        assert_eq!(error["hint"], "mend it, or move it away");
    }
    assert!(!home.path(".local/share/nats/nsc/stores/NEW").exists());
}

#[test]
fn a_network_that_servers_could_not_read_is_refused() {
    let home = Home::new();
    home.auth("operator add OP").ok();
    for bad in ["10.0.0.1", "10.0.0.0/33", "home", "::1/129"] {
        let error = home.auth(&format!("user add bob SYS --source {bad} --json")).exits(2).error();
        assert_eq!(error["message"], format!("`{bad}` is no network"));
    }
    let made = home.json("user add bob SYS --source 10.0.0.0/8,::1/128");
    assert_eq!(made["nats"]["src"], json!(["10.0.0.0/8", "::1/128"]));
}

#[test]
fn what_is_refused_leaves_no_seed_behind() {
    let home = Home::new();
    home.auth("operator add OP").ok();
    let seeds = || files(&home.path(".local/share/nats/nsc/keys")).len();
    let before = seeds();
    home.auth("user add bob SYS --pub-allow a..b").exits(2);
    home.auth("account add APP --expire 300000000000y").exits(2);
    assert_eq!(seeds(), before);
    assert_eq!(home.auth("account ls -n").ok().text(), "SYS\n");
    assert_eq!(home.auth("user ls -n").ok().text(), "sys\n");
}

#[test]
fn what_is_to_be_done_next_can_be_done() {
    let home = Home::new();
    home.auth("operator add OP").ok();
    home.auth("account add APP").ok();
    home.auth("user add bob APP").ok();
    let said = home.auth("user rm bob APP --revoke -f").ok();
    assert!(said.err.contains("Next: natterjack auth account push APP"), "{said:?}");
    // An operator that is here is in the way of its own import.
    let token = home.path(".local/share/nats/nsc/stores/OP/OP.jwt");
    std::fs::copy(&token, home.path("OP.jwt")).unwrap();
    let error = home.auth("operator import DIR/OP.jwt --json").exits(7).error();
    let away = format!("move {} away first", token.display());
    assert_eq!(error["hint"], away);
    std::fs::write(&token, "damaged").unwrap();
    let error = home.auth("operator info OP --json").exits(1).error();
    assert_eq!(error["hint"], format!("{away}, then natterjack auth operator import FILE"));
    std::fs::remove_file(&token).unwrap();
    home.auth("operator import DIR/OP.jwt").ok();
    home.auth("account add NEW").ok();
}

// Shows U-111.
#[test]
fn resolvers_are_written_and_asked() {
    let home = Home::new();
    home.auth("operator add OP").ok();
    home.auth("account add APP --jetstream --connections 9").ok();
    home.auth("user add ann APP").ok();
    let sys = |server: &Server, line: &str| {
        home.as_user(server, "SYS", "sys", &line.split(' ').collect::<Vec<_>>())
    };
    // All of it stands in the configuration: nobody has to push, and nobody can.
    let server = home.server("memory", "memory.conf");
    home.as_user(&server, "APP", "ann", &["pub", "a", "b"]).ok();
    let refused = sys(&server, "auth account push APP --json").exits(6).error();
    assert!(refused["hint"].as_str().unwrap().contains("MEMORY"), "{refused}");
    server.shutdown_blocking();

    let server = home.server("full --dir DIR/jwt", "full.conf");
    let key = home.json("account info APP")["sub"].as_str().unwrap().to_owned();
    let absent = sys(&server, "auth account query APP --json").exits(5).error();
    assert_eq!(absent["hint"], "natterjack auth account push NAME", "{absent}");
    let pushed = sys(&server, "auth account push APP --json").ok().json();
    assert_eq!(pushed[0]["data"]["message"], "jwt updated");
    assert_eq!(pushed[0]["server"]["id"], server.id());
    let asked = sys(&server, "auth account query APP --json").ok().json();
    assert_eq!((&asked["servers"], &asked["as_stored"]), (&json!(1), &json!(true)));
    assert_eq!(asked["claims"]["nats"]["limits"]["conn"], 9);
    home.auth("account edit APP --connections 8").ok();
    let asked = sys(&server, &format!("auth account query {key}")).ok();
    assert!(asked.text().contains("Connections: 9"), "{asked:?}");
    let asked = sys(&server, "auth account query APP").ok();
    assert!(asked.text().contains("As it is stored here: no"), "{asked:?}");
    let listed = sys(&server, "auth resolver ls --output csv").ok();
    assert!(listed.text().contains(&format!("{key},APP,")), "{listed:?}");
    assert_eq!(listed.text().lines().count(), 3, "{listed:?}");
    // A user of another account may not ask.
    home.as_user(&server, "APP", "ann", &["auth", "resolver", "ls"]).exits(6);
    sys(&server, "auth resolver rm APP").exits(9);
    let removed = sys(&server, "auth resolver rm APP -f").ok();
    assert!(removed.text().contains("deleted 1 accounts"), "{removed:?}");
    home.as_user(&server, "APP", "ann", &["pub", "a", "b"]).exits(4);
    server.shutdown_blocking();

    // A server that does not let accounts be removed says so.
    let server = home.server("full --dir DIR/kept --no-delete", "kept.conf");
    sys(&server, "auth account push APP").ok();
    let refused = sys(&server, "auth resolver rm APP -f").exits(1);
    assert!(refused.err.contains("1 of 1 servers refused"), "{refused:?}");
    server.shutdown_blocking();
    let server = home.server("cache --dir DIR/kept --ttl 1h", "cache.conf");
    home.as_user(&server, "APP", "ann", &["pub", "a", "b"]).ok();
    server.shutdown_blocking();
}

// Shows U-112.
#[test]
fn keys_sign_and_seal() {
    let home = Home::new();
    std::fs::write(home.path("file"), "text").unwrap();
    for (kind, seed, public) in [
        ("operator", "SO", "O"),
        ("account", "SA", "A"),
        ("user", "SU", "U"),
        ("server", "SN", "N"),
        ("cluster", "SC", "C"),
        ("curve", "SX", "X"),
    ] {
        let made = home.auth(&format!("nkey gen {kind}")).ok();
        let lines: Vec<&str> = made.text().lines().collect();
        assert!(lines[0].starts_with(seed) && lines[0].len() == 58, "{made:?}");
        assert!(lines[1].starts_with(public) && lines[1].len() == 56, "{made:?}");
        let file = format!("DIR/{kind}.nk");
        let made = home.auth(&format!("nkey gen {kind} --out {file}")).ok();
        assert_eq!(home.auth(&format!("nkey show {file}")).ok().text(), made.text());
    }
    home.auth("nkey gen user --out DIR/user.nk").exits(1);
    let signed = home.json("nkey sign DIR/file --key DIR/user.nk");
    let (public, signature) = (&signed["public"], signed["signature"].as_str().unwrap());
    std::fs::write(home.path("signature"), signature).unwrap();
    for key in [public.as_str().unwrap(), "DIR/user.nk"] {
        let verified = home.json(&format!("nkey verify DIR/file DIR/signature --key {key}"));
        assert_eq!((&verified["public"], &verified["verified"]), (public, &json!(true)));
    }
    home.auth(&format!("nkey check DIR/file {signature} --key DIR/user.nk")).ok();
    // Not the signature, and no option either.
    let other = home.auth(&format!("nkey check DIR/file -{} --key DIR/user.nk", &signature[1..]));
    assert!([Some(0), Some(1)].contains(&other.code), "{other:?}");
    let wrong =
        home.auth("nkey verify DIR/file DIR/signature --key DIR/account.nk --json").exits(1);
    assert_eq!(wrong.error()["code"], "auth.signature");
    std::fs::write(home.path("file"), "texts").unwrap();
    home.auth("nkey verify DIR/file DIR/signature --key DIR/user.nk").exits(1);
    home.auth("nkey sign DIR/file --key DIR/curve.nk").exits(2);
    // What one side seals only the other opens.
    let other =
        home.json("nkey gen curve --out DIR/other.nk")["public"].as_str().unwrap().to_owned();
    let own = home.json("nkey show DIR/curve.nk")["public"].as_str().unwrap().to_owned();
    std::fs::write(home.path("file"), [0xff, 0, b'x']).unwrap();
    home.auth(&format!("nkey seal DIR/file --key DIR/curve.nk --recipient {other} -O DIR/sealed"))
        .ok();
    let open = home.auth(&format!("nkey unseal DIR/sealed --key DIR/other.nk --sender {own}")).ok();
    assert_eq!(open.out, [0xff, 0, b'x']);
    let open = home.json(&format!("nkey unseal DIR/sealed --key DIR/other.nk --sender {own}"));
    assert_eq!(open["data_base64"], "/wB4");
    let closed = home.auth(&format!("nkey unseal DIR/sealed --key DIR/curve.nk --sender {own}"));
    assert!(closed.exits(1).err.contains("was not sealed by that key for this one"));
    home.auth(&format!("nkey seal DIR/file --key DIR/user.nk --recipient {other}")).exits(2);
}

#[test]
fn a_token_is_shown_if_its_signature_is_right() {
    let home = Home::new();
    home.auth("operator add OP").ok();
    home.auth("account add APP --js-disk 1GB --js-memory -1").ok();
    home.auth("user add ann APP --expire 1d --sub-allow a,b --bearer --payload 1K").ok();
    let creds = home.creds("APP", "ann");
    let shown = home.auth(&format!("inspect {}", creds.display())).ok();
    for text in
        ["User ann", "Subscribe allow: a, b", "Message Payload: 1.0 KiB", "Bearer Token: yes"]
    {
        assert!(shown.text().contains(text), "{text}: {shown:?}");
    }
    assert!(!shown.text().contains("Expires: never"), "{shown:?}");
    let account =
        home.auth("inspect DIR/.local/share/nats/nsc/stores/OP/accounts/APP/APP.jwt").ok();
    assert!(account.text().contains("Disk: 1.0 GiB"), "{account:?}");
    assert!(account.text().contains("Memory: unlimited"), "{account:?}");
    // The token itself, and one that was changed.
    let text = std::fs::read_to_string(&creds).unwrap();
    let token = text.lines().nth(1).unwrap();
    let read = home.json(&format!("inspect {token}"));
    assert_eq!((&read["name"], &read["nats"]["type"]), (&json!("ann"), &json!("user")));
    let (rest, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let forged = home.auth(&format!("inspect {rest}.{other}{} --json", &signature[1..])).exits(1);
    assert_eq!(forged.error()["code"], "auth.jwt");
    home.auth("inspect DIR/nothing").exits(1);
    // Credentials for a while only, to be given away.
    let lent = home.auth("user creds ann APP --expire 1h").ok();
    assert!(lent.text().starts_with("-----BEGIN NATS USER JWT-----"));
    assert_ne!(lent.text(), text);
    assert_eq!(home.auth("user creds ann APP").ok().text(), text);
}
