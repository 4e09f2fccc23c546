//! Account JWTs of an operator: the kinds of resolver, and what changes while users are connected.

use super::peer::Peer;
use natterjack_core::jwt::{
    self, Account, Claims, Generic, Scope, SigningKey, User, UserPermissionLimits,
};
use natterjack_server::Server;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// Seconds of Unix time; later than any clock that runs this.
const FAR: i64 = 10_000_000_000;

struct World {
    operator: KeyPair,
    system: KeyPair,
    account: KeyPair,
    signer: KeyPair,
    dir: tempfile::TempDir,
}

fn world() -> World {
    World {
        operator: KeyPair::new_operator(),
        system: KeyPair::new_account(),
        account: KeyPair::new_account(),
        signer: KeyPair::new_account(),
        dir: tempfile::tempdir().unwrap(),
    }
}

impl World {
    /// A server with this resolver, which knows the system account.
    fn server(&self, resolver: &str) -> Server {
        let mut operator = Claims::<jwt::Operator>::new("op", &self.operator.public_key());
        let operator = operator.encode(&self.operator, 1).unwrap();
        let system = self.system.public_key();
        let config = format!(
            "host: 127.0.0.1, port: -1, operator: {operator}, system_account: {system}\n\
             authorization {{ timeout: 60 }}, resolver: {}\nresolver_preload {{ {system}: {} }}",
            resolver.replace("DIR", &self.dir.path().join("jwt").to_string_lossy()),
            self.jwt(&self.system, |_| {})
        );
        Server::builder().config(&config).unwrap().start_blocking().unwrap()
    }

    /// An account's JWT; `edit` changes it.
    fn jwt(&self, account: &KeyPair, edit: impl FnOnce(&mut Account)) -> String {
        let mut claims = Claims::<Account>::new("x", &account.public_key());
        claims.nats.signing_keys = vec![SigningKey::Scoped(Box::new(Scope {
            kind: "user_scope".into(),
            key: self.signer.public_key(),
            role: "publisher".into(),
            template: UserPermissionLimits {
                publish: jwt::SubjectClaims { allow: vec!["own.{{name()}}".into()], deny: vec![] },
                bearer_token: true,
                ..UserPermissionLimits::unlimited()
            },
            ..Scope::default()
        }))];
        edit(&mut claims.nats);
        claims.encode(&self.operator, 1).unwrap()
    }

    fn administrator(&self, server: &Server) -> Peer {
        log_in(server, &bearer(&self.system, |_| {}))
    }
}

/// A user's JWT that needs no signature of a nonce.
fn bearer(account: &KeyPair, edit: impl FnOnce(&mut Claims<User>)) -> String {
    let mut claims = Claims::<User>::new("ann", &KeyPair::new_user().public_key());
    claims.nats.permissions.bearer_token = true;
    edit(&mut claims);
    claims.encode(account, 1).unwrap()
}

/// Sends what a user logs in with, and does not wait.
fn apply(server: &Server, jwt: &str) -> Peer {
    let mut peer = Peer::connect(server);
    peer.send(format!("CONNECT {{\"verbose\":false,\"jwt\":\"{jwt}\"}}\r\nPING\r\n"));
    peer
}

fn log_in(server: &Server, jwt: &str) -> Peer {
    let mut peer = apply(server, jwt);
    peer.expect("PONG");
    peer
}

fn is_refused(server: &Server, jwt: &str) {
    apply(server, jwt).expect("-ERR 'Authorization Violation'");
}

/// What the server answers a request of the system account.
fn ask(peer: &mut Peer, subject: &str, body: &str) -> Value {
    peer.send(format!("SUB in 1\r\nUNSUB 1 1\r\nPUB {subject} in {}\r\n{body}\r\n", body.len()));
    let line = peer.line();
    assert!(line.starts_with("MSG in 1 "), "{line}");
    serde_json::from_str(&peer.line()).unwrap()
}

// Shows U-111.
#[test]
fn resolvers_load_and_report_pushes_lists_and_deletes() {
    let world = world();
    let key = world.account.public_key();
    let user = bearer(&world.account, |_| {});
    let jwt = world.jwt(&world.account, |_| {});
    let server = world.server("{type: full, dir: \"DIR\", allow_delete: true}");
    let mut peer = world.administrator(&server);
    is_refused(&server, &user);
    let pushed = ask(&mut peer, "$SYS.REQ.CLAIMS.UPDATE", &jwt);
    assert_eq!(pushed["data"]["message"], "jwt updated");
    assert_eq!(pushed["server"]["id"], server.id());
    let listed = ask(&mut peer, "$SYS.REQ.CLAIMS.LIST", "");
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    assert_eq!(listed["server"]["id"], server.id());
    peer.send(format!("SUB in 2\r\nPUB $SYS.REQ.ACCOUNT.{key}.CLAIMS.LOOKUP in 0\r\n\r\n"));
    peer.expect(&format!("MSG in 2 {}", jwt.len()));
    peer.expect(&jwt);
    peer.send("UNSUB 2\r\n");
    drop(log_in(&server, &user));
    server.shutdown_blocking();

    // A cache may take the same directory over.
    let server = world.server("{type: cache, dir: \"DIR\", timeout: \"1s\"}");
    let mut peer = world.administrator(&server);
    drop(log_in(&server, &user));
    let pushed = ask(&mut peer, "$SYS.REQ.CLAIMS.UPDATE", &jwt);
    assert_eq!(pushed["data"]["message"], "jwt updated cache");
    server.shutdown_blocking();

    let server = world.server("{type: full, dir: \"DIR\", allow_delete: true}");
    let mut peer = world.administrator(&server);
    let mut live = log_in(&server, &user);
    let mut delete = Claims::<Generic>::new("delete", &world.operator.public_key());
    delete.nats.fields.insert("accounts".into(), vec![key.clone()].into());
    let delete = delete.encode(&world.operator, 1).unwrap();
    let deleted = ask(&mut peer, "$SYS.REQ.CLAIMS.DELETE", &delete);
    assert_eq!(deleted["data"]["message"], "deleted 1 accounts");
    live.expect("-ERR 'Account Authentication Expired'");
    is_refused(&server, &user);
    server.shutdown_blocking();

    // Memory knows what the configuration says, and takes updates of that.
    let server = world.server("MEMORY");
    let mut peer = world.administrator(&server);
    is_refused(&server, &user);
    let subject = format!("$SYS.REQ.ACCOUNT.{key}.CLAIMS.UPDATE");
    let pushed = ask(&mut peer, &subject, &jwt);
    assert_eq!(pushed["data"]["message"], "jwt update skipped");
    server.shutdown_blocking();
}

#[test]
fn all_who_come_at_once_get_in_to_accounts_that_others_know() {
    let world = world();
    let server = world.server("{type: cache, dir: \"DIR\", timeout: \"60s\"}");
    let mut elsewhere = world.administrator(&server);
    elsewhere.send("SUB $SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP 1\r\nPING\r\n");
    elsewhere.expect("PONG");
    // The account that a question is about, and where the answer goes.
    let question = |elsewhere: &mut Peer| {
        let line = elsewhere.line();
        elsewhere.expect("");
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!((words[0], words.len()), ("MSG", 5), "{line}");
        (words[1].split('.').nth(3).unwrap().to_owned(), words[3].to_owned())
    };
    let answer = |elsewhere: &mut Peer, reply: &str, account: &KeyPair| {
        let jwt = world.jwt(account, |_| {});
        elsewhere.send(format!("PUB {reply} {}\r\n{jwt}\r\n", jwt.len()));
    };
    // Many of one account: one question serves them all.
    let user = bearer(&world.account, |_| {});
    let mut users: Vec<Peer> = (0..100).map(|_| apply(&server, &user)).collect();
    let (about, reply) = question(&mut elsewhere);
    assert_eq!(about, world.account.public_key());
    answer(&mut elsewhere, &reply, &world.account);
    users.iter_mut().for_each(|user| user.expect("PONG"));
    elsewhere.send("PING\r\n");
    elsewhere.expect("PONG");
    // More accounts than are looked for at a time: the others wait.
    let accounts: Vec<KeyPair> = (0..70).map(|_| KeyPair::new_account()).collect();
    let mut users: Vec<Peer> =
        accounts.iter().map(|account| apply(&server, &bearer(account, |_| {}))).collect();
    for count in [64, 6] {
        let questions: Vec<_> = (0..count).map(|_| question(&mut elsewhere)).collect();
        for (about, reply) in questions {
            let account = accounts.iter().find(|account| account.public_key() == about).unwrap();
            answer(&mut elsewhere, &reply, account);
        }
    }
    users.iter_mut().for_each(|user| user.expect("PONG"));
    server.shutdown_blocking();
}

// Shows U-110.
#[test]
fn keys_scopes_revocations_and_expiries_are_enforced_on_live_connections() {
    let world = world();
    let server = world.server("{type: full, dir: \"DIR\"}");
    let mut peer = world.administrator(&server);
    let mut push = |edit: fn(&mut Account)| {
        let answer = ask(&mut peer, "$SYS.REQ.CLAIMS.UPDATE", &world.jwt(&world.account, edit));
        assert_eq!(answer["data"]["code"], 200);
    };
    push(|_| {});
    let scoped = bearer(&world.signer, |claims| {
        claims.nats.issuer_account = world.account.public_key();
        claims.nats.permissions = UserPermissionLimits::default();
    });
    let mut by_role = log_in(&server, &scoped);
    by_role.send("PUB own.ann 0\r\n\r\nPUB own.bob 0\r\n\r\n");
    by_role.expect("-ERR 'Permissions Violation for Publish to \"own.bob\"'");
    let own = bearer(&world.signer, |claims| {
        claims.nats.issuer_account = world.account.public_key();
    });
    is_refused(&server, &own);
    // Without the key its users go, and nobody else.
    let mut plain = log_in(&server, &bearer(&world.account, |_| {}));
    push(|account| account.signing_keys.clear());
    assert_eq!(by_role.line(), "");
    plain.send("PING\r\n");
    plain.expect("PONG");
    is_refused(&server, &scoped);
    // What was issued by then is void.
    push(|account| {
        account.revocations.insert("*".into(), 1);
    });
    plain.expect("-ERR 'User Authentication Revoked'");
    is_refused(&server, &bearer(&world.account, |_| {}));
    push(|_| {});
    is_refused(&server, &bearer(&world.account, |claims| claims.exp = 2));
    drop(log_in(&server, &bearer(&world.account, |claims| claims.exp = FAR)));
    server.shutdown_blocking();
}

#[test]
fn a_directory_needs_the_system_account() {
    let world = world();
    let mut operator = Claims::<jwt::Operator>::new("op", &world.operator.public_key());
    let operator = operator.encode(&world.operator, 1).unwrap();
    let dir = world.dir.path().display();
    let start = |more: &str| {
        let config = format!(
            "host: 127.0.0.1, port: -1, operator: {operator}\n\
             resolver: {{type: full, dir: \"{dir}\"}}\n{more}"
        );
        Server::builder().config(&config).unwrap().start_blocking().unwrap_err().to_string()
    };
    assert!(start("").starts_with("using nats based account resolver"));
    let system = format!("system_account: {}", world.system.public_key());
    assert!(start(&system).starts_with("error resolving system account: open "));
}

fn unix_now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

#[test]
fn activations_begin_and_end_when_their_time_comes() {
    // On a busy machine it has come before anybody is there to see.
    let found = [2, 10, 60].into_iter().find_map(subjects_that_pass);
    let (first, last) = found.expect("a minute is enough to start a server");
    assert_eq!((first, last), (vec!["brief".to_owned()], vec!["soon".to_owned()]));
}

/// What passes before the activations' time, which is in `lead` seconds, and then; `None` if it came too
/// soon.
fn subjects_that_pass(lead: i64) -> Option<(Vec<String>, Vec<String>)> {
    let world = world();
    let server = world.server("{type: full, dir: \"DIR\"}");
    let mut admin = world.administrator(&server);
    let mut push = |jwt: &str| {
        let pushed = ask(&mut admin, "$SYS.REQ.CLAIMS.UPDATE", jwt);
        assert_eq!(pushed["data"]["message"], "jwt updated");
    };
    let limits = || {
        let limits =
            json!({"imports": 9, "exports": 9, "conn": -1, "subs": -1, "data": -1, "payload": -1});
        serde_json::from_value(limits).unwrap()
    };
    push(&world.jwt(&world.account, |account| {
        account.limits = limits();
        account.exports = vec![
            json!({"subject": "open", "type": "stream"}),
            json!({"subject": "soon", "type": "stream", "token_req": true}),
            json!({"subject": "brief", "type": "stream", "token_req": true}),
        ];
    }));
    let mut exporter = log_in(&server, &bearer(&world.account, |_| {}));
    let importer = KeyPair::new_account();
    let begin = unix_now() + lead;
    let activation = |subject: &str, nbf: i64, exp: i64| {
        let mut claims = Claims::<jwt::Activation>::new("x", &importer.public_key());
        claims.nats.import_subject = subject.into();
        claims.nats.import_kind = "stream".into();
        (claims.nbf, claims.exp) = (nbf, exp);
        claims.encode(&world.account, 1).unwrap()
    };
    push(&world.jwt(&importer, |account| {
        account.limits = limits();
        // What is over already, where none is needed, and what is not yet hide nothing.
        let tokens = [("open", 0, 2), ("soon", begin, FAR), ("brief", 0, begin)];
        account.imports = tokens
            .map(|(subject, nbf, exp)| {
                let token = activation(subject, nbf, exp);
                let exporter = world.account.public_key();
                json!({"subject": subject, "account": exporter, "type": "stream", "token": token})
            })
            .into();
    }));
    let mut subscriber = log_in(&server, &bearer(&importer, |_| {}));
    subscriber.send("SUB > 1\r\nPING\r\n");
    subscriber.expect("PONG");
    let mut pass = || -> Vec<String> {
        exporter.send("PUB soon 0\r\n\r\nPUB brief 0\r\n\r\nPING\r\n");
        exporter.expect("PONG");
        subscriber.send("PING\r\n");
        let lines = std::iter::from_fn(|| Some(subscriber.line()).filter(|line| line != "PONG"));
        lines.filter_map(|line| Some(line.split(' ').nth(1)?.to_owned())).collect()
    };
    let first = pass();
    if unix_now() >= begin {
        return None;
    }
    // It comes for each by itself.
    let mut last = pass();
    while last != ["soon"] && unix_now() < begin + 60 {
        last = pass();
    }
    server.shutdown_blocking();
    Some((first, last))
}
