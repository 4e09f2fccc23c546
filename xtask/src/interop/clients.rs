//! The everyday calls of the clients for Go, C and JavaScript: what each prints is the recorded answer of
//! nats-server, on both servers.
//!
//! The programs lie in `interop/go`, `interop/c` and `interop/javascript`; a run makes one part of them. What
//! they are made with comes from Debian and from npm. Where that is not at hand and cannot be installed, the
//! client is left out, and said to be. What the client for JavaScript does in Node it does in a browser too,
//! where there is one.

use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::scenarios::recorded;
use super::{Stage, programs};
use crate::peers::{Peers, cache, succeed};
use crate::programs::Program;
use crate::root;
use crate::servers::{Make, Server};

/// A client, how its programs are made, and which parts they have beside `login` and `restart`.
struct Client {
    name: &'static str,
    /// The Debian packages that it needs.
    packages: &'static [&'static str],
    /// Whether they are there.
    ready: fn() -> bool,
    /// Makes the programs in a directory, and answers with the command that runs them.
    make: fn(&Path) -> Result<Vec<PathBuf>>,
    parts: &'static [&'static str],
}

const CLIENTS: &[Client] = &[
    Client {
        name: "go",
        packages: &[
            "golang-go",
            "golang-github-nats-io-go-nats-dev",
            "golang-github-nats-io-jwt-dev",
        ],
        ready: || {
            let has = |code| Path::new(GO_CODE).join(code).is_dir();
            runs("go", "version") && has(GO_CLIENT) && has(GO_TOKENS)
        },
        make: make_go,
        parts: &["core", "jetstream", "buckets", "services", "tokens", "audit"],
    },
    Client {
        name: "c",
        packages: &["gcc", "libc6-dev", "libnats-dev"],
        ready: || runs("cc", "--version") && Path::new(C_CLIENT).is_file(),
        make: make_c,
        parts: &["core", "jetstream", "buckets"],
    },
    Client {
        name: "javascript",
        packages: &["nodejs", "npm"],
        ready: || runs("node", "--version") && runs("npm", "--version"),
        make: make_javascript,
        parts: &[
            "core",
            "websocket",
            "jetstream",
            "buckets",
            "services",
            "browser-core",
            "browser-jetstream",
            "browser-buckets",
            "browser-services",
        ],
    },
];

/// What the parts begin with that a browser does.
const BY_BROWSER: &str = "browser-";
/// What is called a browser. None is installed for this.
const BROWSERS: &[&str] = &["chromium", "chromium-browser", "google-chrome"];

/// Where Debian puts Go code that has no module of its own.
const GO_CODE: &str = "/usr/share/gocode";
const GO_CLIENT: &str = "src/github.com/nats-io/nats.go";
const GO_TOKENS: &str = "src/github.com/nats-io/jwt/v2";
const C_CLIENT: &str = "/usr/include/nats/nats.h";

/// Runs the parts of each client on each of these makes.
pub(super) fn run(makes: &[Make], ours: &Path, peers: &Peers, only: &[String]) -> Result<()> {
    let mut outcome = Ok(());
    let mut left_out = Vec::new();
    let mut none = true;
    for client in CLIENTS {
        let wanted = |name: &str| only.is_empty() || only.iter().any(|one| one == name);
        let mut parts = [client.parts, &["login", "restart"]].concat();
        parts.retain(|part| wanted(&format!("{}-{part}", client.name)));
        if parts.is_empty() {
            continue;
        }
        none = false;
        let by_browser = |part: &str| part.starts_with(BY_BROWSER);
        if parts.iter().any(|part| by_browser(part)) && browser().is_none() {
            println!("left out: {} in a browser: none of {BROWSERS:?} is here", client.name);
            left_out.push("browser");
            parts.retain(|part| !by_browser(part));
            if parts.is_empty() {
                continue;
            }
        }
        if let Err(error) = client.install() {
            println!("left out: the client for {}: {error:#}", client.name);
            left_out.push(client.name);
            continue;
        }
        let directory = tempfile::tempdir()?;
        let command = (client.make)(directory.path())
            .with_context(|| format!("making the programs of the client for {}", client.name))?;
        let names: Vec<String> =
            parts.iter().map(|part| format!("{}-{part}", client.name)).collect();
        let scenarios: Vec<_> = names
            .iter()
            .zip(&parts)
            .map(|(name, part)| {
                (name.as_str(), |stage: &Stage<'_>| play(stage, name, part, &command, ours))
            })
            .collect();
        outcome = outcome.and(programs(makes, peers, &scenarios, only));
    }
    ensure!(!none, "no part of a client is called so");
    if !left_out.is_empty() {
        println!("left out: {}", left_out.join(", "));
    }
    outcome
}

impl Client {
    /// Installs what is not there, where this machine lets us.
    fn install(&self) -> Result<()> {
        if (self.ready)() {
            return Ok(());
        }
        let needed = format!("it needs the packages {}", self.packages.join(" "));
        ensure!(may_install(), "{needed} of Debian, which root installs");
        let apt = |arguments: &[&str]| {
            succeed(
                Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"),
            )
        };
        apt(&["update", "-qq"]).context(needed.clone())?;
        apt(&[&["install", "-qq", "-y", "--no-install-recommends"], self.packages].concat())
            .context(needed)?;
        ensure!((self.ready)(), "{} did not bring what is needed", self.packages.join(" "));
        Ok(())
    }
}

#[cfg(unix)]
fn may_install() -> bool {
    rustix::process::geteuid().is_root() && runs("apt-get", "--version")
}

#[cfg(not(unix))]
fn may_install() -> bool {
    false
}

fn runs(program: &str, argument: &str) -> bool {
    Command::new(program).arg(argument).output().is_ok_and(|output| output.status.success())
}

fn browser() -> Option<&'static str> {
    BROWSERS.iter().copied().find(|browser| runs(browser, "--version"))
}

fn source(name: &str) -> PathBuf {
    root().join("interop").join(name)
}

fn make_go(directory: &Path) -> Result<Vec<PathBuf>> {
    let program = directory.join("everyday");
    let mut build = Command::new("go");
    build.args([OsStr::new("build"), OsStr::new("-o"), program.as_os_str(), OsStr::new(".")]);
    // Debian's packages are found by their place, not by a module's list.
    build.current_dir(source("go")).env("GO111MODULE", "off").env("GOPATH", GO_CODE);
    succeed(&mut build)?;
    Ok(vec![program])
}

fn make_c(directory: &Path) -> Result<Vec<PathBuf>> {
    let program = directory.join("everyday");
    let mut build = Command::new("cc");
    build.arg("-o").arg(&program).current_dir(source("c"));
    succeed(build.args(["main.c", "core.c", "jetstream.c", "buckets.c", "-lnats"]))?;
    Ok(vec![program])
}

/// The client's packages are kept between runs, in a directory named after what it holds.
fn make_javascript(directory: &Path) -> Result<Vec<PathBuf>> {
    let list = std::fs::read_to_string(source("javascript/package.json"))?;
    let mut hasher = DefaultHasher::new();
    list.hash(&mut hasher);
    let kept = cache().join(format!("npm-{:016x}", hasher.finish()));
    if !kept.is_dir() {
        std::fs::create_dir_all(cache())?;
        let aside = tempfile::tempdir_in(cache())?;
        std::fs::write(aside.path().join("package.json"), list)?;
        let install =
            ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"];
        succeed(Command::new("npm").args(install).current_dir(aside.path()))?;
        // Another run may have been first.
        if let Err(error) = std::fs::rename(aside.path(), &kept) {
            ensure!(kept.is_dir(), "{}: {error}", kept.display());
        }
    }
    // Node looks for packages beside the program that names them.
    for entry in std::fs::read_dir(source("javascript"))? {
        let entry = entry?;
        std::fs::copy(entry.path(), directory.join(entry.file_name()))?;
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(kept.join("node_modules"), directory.join("node_modules"))?;
    Ok(vec!["node".into(), directory.join("main.js")])
}

/// Starts one part of a client's programs.
fn start(
    stage: &Stage<'_>,
    command: &[PathBuf],
    part: &str,
    url: &str,
    variables: &[(&str, &str)],
) -> Result<Program> {
    let [program, arguments @ ..] = command else { bail!("no program") };
    let mut command = Command::new(program);
    command.args(arguments).arg(part).current_dir(stage.directory.path());
    command.env("NATS_URL", url).envs(variables.iter().copied());
    Program::start(part, &mut command)
}

/// One part on a fresh server.
fn play(stage: &Stage<'_>, name: &str, part: &str, command: &[PathBuf], ours: &Path) -> Result<()> {
    let browser = part.strip_prefix(BY_BROWSER).and_then(|_| browser());
    let lines = match part {
        "login" => logins(stage, command)?,
        "tokens" => tokens(stage, command)?,
        "audit" => audit(stage, command, ours)?,
        _ if part == "websocket" || browser.is_some() => {
            let [port] = crate::servers::free_ports()?;
            let config = stage.path("websocket.conf");
            let text = format!("websocket {{ host: 127.0.0.1, port: {port}, no_tls: true }}\n");
            std::fs::write(&config, text)?;
            let server = stage.jetstream(&["-c", text_of(&config)?])?;
            let through = format!("ws://127.0.0.1:{port}");
            let variables =
                [("NATS_WS_URL", through.as_str()), ("BROWSER", browser.unwrap_or_default())];
            start(stage, command, part, &server.url(), &variables)?.finish()?
        }
        "restart" => {
            let mut server = stage.jetstream(&[])?;
            let mut program = start(stage, command, part, &server.url(), &[])?;
            program.expect("restart now")?;
            server.stop()?;
            server.start_again()?;
            program.finish()?
        }
        _ => {
            let server = stage.jetstream(&[])?;
            start(stage, command, part, &server.url(), &[])?.finish()?
        }
    };
    // A browser says what Node says.
    recorded(&name.replace(BY_BROWSER, ""), &lines)
}

/// Each way to log in, and without it.
fn logins(stage: &Stage<'_>, command: &[PathBuf]) -> Result<Vec<String>> {
    let made = stage.python("make_credentials.py").arg(stage.directory.path()).status()?;
    ensure!(made.success(), "make_credentials.py failed");
    let certificate = rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()])?;
    std::fs::write(stage.path("ca.pem"), certificate.cert.pem())?;
    std::fs::write(stage.path("key.pem"), certificate.signing_key.serialize_pem())?;
    let [ca, key, creds, seed, operator, nkey] =
        ["ca.pem", "key.pem", "user.creds", "user.nk", "operator.conf", "nkey.conf"]
            .map(|name| stage.path(name));
    let [ca, key, creds, seed, operator, nkey] =
        [&ca, &key, &creds, &seed, &operator, &nkey].map(|path| text_of(path));
    let (ca, token) = (ca?, "a-token-nobody-guesses");

    let mut lines = Vec::new();
    let mut attempt = |server: &Server, variables: &[(&str, &str)]| -> Result<()> {
        lines.extend(start(stage, command, "login", &server.url(), variables)?.finish()?);
        Ok(())
    };
    // The client for C wants to be told the public key too.
    let public = std::fs::read_to_string(stage.path("user.pub"))?;
    for (arguments, variable) in [
        (vec!["--auth", token], ("NATS_TOKEN", token)),
        (vec!["-c", operator?], ("NATS_CREDS", creds?)),
        (vec!["-c", nkey?], ("NATS_SEED", seed?)),
        (vec!["--tls", "--tlscert", ca, "--tlskey", key?], ("NATS_CA", ca)),
    ] {
        let server = stage.server(&arguments)?;
        attempt(&server, &[variable, ("NATS_PUBLIC_KEY", &public)])?;
        attempt(&server, &[])?;
    }
    Ok(lines)
}

/// Tokens that the client's library makes, on a server that has them in its configuration.
fn tokens(stage: &Stage<'_>, command: &[PathBuf]) -> Result<Vec<String>> {
    let mut lines = start(stage, command, "make-tokens", "", &[])?.finish()?;
    let server = stage.jetstream(&["-c", text_of(&stage.path("tokens.conf"))?])?;
    lines.extend(start(stage, command, "tokens", &server.url(), &[])?.finish()?);
    Ok(lines)
}

/// Tokens that `natterjack auth` makes: what the client's library says of them, and a login by them.
fn audit(stage: &Stage<'_>, command: &[PathBuf], ours: &Path) -> Result<Vec<String>> {
    let home = stage.path("home");
    let made = |arguments: &str| {
        let mut auth = Command::new(ours);
        auth.arg("auth").args(arguments.split(' ')).current_dir(stage.directory.path());
        // The store lies below these.
        auth.env("HOME", &home).env("XDG_DATA_HOME", home.join("data"));
        auth.env("XDG_CONFIG_HOME", home.join("config"));
        for name in ["NSC_HOME", "NKEYS_PATH"] {
            auth.env_remove(name);
        }
        succeed(&mut auth).with_context(|| format!("natterjack auth {arguments}"))
    };
    made("operator add O")?;
    made("account add A --connections 50 --payload 4096 --js-disk 1G --tag x --description all")?;
    made("account keys add A --role worker --pub-allow tasks.> --response-max 3")?;
    made("user add plain A --pub-deny secret --sub-deny secret --source 127.0.0.0/8 --expire 1h")?;
    made("user add worker A --key worker")?;
    made("quick quick")?;
    let lines = start(stage, command, "audit", "", &[])?.finish()?;
    made("resolver memory --out accounts.conf")?;
    let server = stage.server(&["-c", text_of(&stage.path("accounts.conf"))?])?;
    let creds = home.join("data/nats/nsc/keys/creds/O/A/plain.creds");
    let login = start(stage, command, "login", &server.url(), &[("NATS_CREDS", text_of(&creds)?)])?;
    Ok([lines, login.finish()?].concat())
}

fn text_of(path: &Path) -> Result<&str> {
    path.to_str().context("the temporary directory is not UTF-8")
}
