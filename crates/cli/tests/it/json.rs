//! `--json` on each verb: what stands on standard output is one document, or one object per line.

use std::collections::BTreeSet;

use serde_json::Value;

use super::witness::{Tested, with_system_account};
use super::{Ended, bare, command, end};

/// Verbs in an order in which each finds what it needs; `DIR` is a directory of the test.
const VERBS: &str = "
stream add S --subjects s.>
pub s.a b
request s.a b
sub --stream S --count 1
stream find
stream report
stream state S
stream subjects S
stream gaps S
stream graph S --samples 1
stream edit S --description x -f
stream copy S T --subjects t.>
stream get S 1
stream view S 1
stream info S
stream ls
stream rmm S 1 -f
stream purge T -f
consumer add S C --pull --defaults
consumer ls S
consumer find S
consumer report S
consumer info S C
consumer state S C
consumer graph S C --samples 1
consumer copy S C D
consumer edit S C --description y -f
consumer next S C
pub s.b c
consumer sub S C --count 1
consumer pause S C 1h -f
consumer resume S C -f
consumer reset S C -f
consumer rm S D -f
object add O
object put O DIR/file --name f
object get O f --out DIR/out
object info O f
object ls O
object watch O --count 1
object edit O --description x -f
object del O f -f
object seal O -f
kv add B --history 9
kv put B k v
kv create B l v
kv update B l w 2
kv get B k
kv history B k
kv ls B
kv watch B --count 1
kv revert B k 1 -f
kv info B
kv edit B --description x -f
kv del B k -f
kv purge B k -f
kv compact B -f
bench pub x --msgs 10 --no-progress
bench js pub sync bench --create --msgs 10 --no-progress
bench js ordered --msgs 10 --no-progress
bench kv put --msgs 10 --no-progress
bench kv get --msgs 10 --no-progress
latency --duration 5ms
doctor
health
errors ls
errors lookup 10059
config check DIR/server.conf
config print DIR/server.conf
rtt 1
account info
account report connections
account report statistics
context add one
context add two
context select one
context select two
context previous
context ls
context info one
context copy one three
context validate
context unselect
context rm two -f
server check connection --connect-warn 1h --connect-critical 1h --rtt-warn 1h --rtt-critical 1h --req-warn 1h --req-critical 1h
server check jetstream
server check stream --stream S
server check consumer --stream S --consumer C
server check kv --bucket B
server check message --stream S --subject s.a
server check request --subject s.a
account backup DIR/all
stream backup S DIR/backup
stream seal S -f
stream rm S -f
stream restore DIR/backup
auth quick DIR/logins
auth operator add OP
auth operator info
auth operator ls
auth operator edit --tag a:b
auth operator select OP
auth operator keys add
auth operator keys ls
auth account add ACC --jetstream
auth account info ACC
auth account ls
auth account edit ACC --connections 5
auth account keys add ACC --role r --pub-allow x
auth account keys ls ACC
auth account revoke ACC *
auth user add u ACC
auth user info u ACC
auth user ls
auth user edit u ACC --tag a:b
auth user creds u ACC
auth resolver memory
auth resolver full
auth resolver cache
auth nkey gen --out DIR/key
auth nkey show DIR/key
auth nkey sign DIR/file --key DIR/key
auth inspect DIR/logins/demo.creds
auth user rm u ACC -f
auth account rm ACC -f
man DIR/man
";

/// The same for a user of the system account.
const SYSTEM_VERBS: &str = "
server list
server ping
server info
server report connections
server report accounts
server report jetstream
server report cpu
server report mem
server report health
server report routes
server report gateways
server report leafnodes
top -o - --tab streams
server request variables
server check server --name one
";

/// Verbs that are not here, and why.
const ELSEWHERE: [(&str, &str); 22] = [
    ("auth account keys rm", "tools.rs"),
    ("auth account push", "needs a server with a directory of accounts: tools.rs"),
    ("auth account query", "as above: tools.rs"),
    ("auth nkey seal", "tools.rs"),
    ("auth nkey unseal", "tools.rs"),
    ("auth nkey verify", "tools.rs"),
    ("auth operator import", "tools.rs"),
    ("auth operator keys rm", "as those of accounts"),
    ("auth resolver ls", "needs a server with a directory of accounts: tools.rs"),
    ("auth resolver rm", "as above: tools.rs"),
    ("account restore", "needs a server without the streams: backups.rs"),
    ("bench", "some of its forms are above; all: bench.rs"),
    ("completions", "writes a script"),
    ("consumer unpin", "needs a pinned client, which our server refuses to make"),
    ("context edit", "opens an editor"),
    ("events", "runs until it is ended: events.rs"),
    ("reply", "runs until it is ended: messages.rs"),
    ("serve", "is the server"),
    ("server check credential", "needs no server: servers.rs"),
    ("server check meta", "needs a cluster: servers.rs"),
    ("service", "needs services: services.rs"),
    ("tour", "is for people"),
];

/// What the command's help lists below these words.
fn verbs_of(words: &[&str]) -> Vec<String> {
    let help = end(bare(&[words, &["--help"]].concat())).ok();
    let listed = help.text().lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| line.is_empty() || line.starts_with("  "));
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Each verb that has none below it.
fn leaves(words: &[&str], found: &mut BTreeSet<String>) {
    let below = verbs_of(words);
    if below.is_empty() {
        found.insert(words.join(" "));
    }
    for name in below {
        leaves(&[words, &[name.as_str()]].concat(), found);
    }
}

/// All of them.
pub(super) fn every_verb() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    leaves(&[], &mut all);
    all
}

fn answer(server: &Tested, home: &std::path::Path, user: &str, verb: &str) -> Ended {
    let directory = home.to_str().unwrap();
    let line = verb.replace("DIR", directory);
    let login = ["--json", "--user", user, "--password", "p"];
    let arguments: Vec<&str> = line.split(' ').chain(login).collect();
    let mut command = command(server, &arguments);
    command.env("XDG_CONFIG_HOME", home).env("HOME", home);
    end(command)
}

// Shows U-097.
#[test]
fn json_of_each_verb_parses() {
    let server = with_system_account();
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("file"), "hello").unwrap();
    std::fs::write(home.path().join("server.conf"), "port: 4333").unwrap();
    for (user, verbs) in [("a", VERBS), ("sys", SYSTEM_VERBS)] {
        for verb in verbs.lines().filter(|line| !line.is_empty()) {
            let ended = answer(&server, home.path(), user, verb);
            assert_eq!(ended.code, Some(0), "{verb}: {ended:?}");
            let text = ended.text();
            assert!(!text.is_empty(), "{verb}: {ended:?}");
            if serde_json::from_str::<Value>(text).is_err() {
                for line in text.lines() {
                    let object: Result<Value, _> = serde_json::from_str(line);
                    assert!(object.is_ok_and(|object| object.is_object()), "{verb}: {ended:?}");
                }
            }
        }
    }
}

#[test]
fn no_verb_is_left_out() {
    let all = every_verb();
    let tried: Vec<&str> = VERBS.lines().chain(SYSTEM_VERBS.lines()).collect();
    let is_below = |verb: &str, name: &str| verb == name || verb.starts_with(&format!("{name} "));
    for verb in &all {
        let is_tried = tried.iter().any(|line| is_below(line, verb));
        let is_elsewhere = ELSEWHERE.iter().any(|(name, _)| is_below(verb, name));
        assert!(is_tried || is_elsewhere, "{verb} is neither tried nor elsewhere");
    }
    for (name, _) in ELSEWHERE {
        assert!(all.iter().any(|verb| is_below(verb, name)), "{name} is no verb");
    }
}
