//! Cases and the files they stand in.
//!
//! A file holds cases for one or a few server configurations. Lines that start with `#` are
//! comments. What stands before the first `===` is the default for every case of the file.
//!
//! ```text
//! flags: -js -sd {dir}/store          flags of the server beside -a and -p
//! config:                             a configuration file, passed with -c
//!     max_payload: 100
//! connect: {"verbose":false}          CONNECT of connections that do not choose their own
//!
//! === A bare LF ends a control line   the behaviour; one per case
//! covers: C-005                       capabilities that need this case to pass
//! partly: C-007                       shows only a part of these, which are not ticked
//! spec: core 10.7                     where the rule stands
//! alone: yes                          a server of its own (also for any case with `server …`)
//! pings: manual                       PING from the server is shown, not answered
//! patience: 4000                      how long a step waits, in ms (2000)
//! waits: yes                          our server has not built it yet: run with the reference only
//! differs: D-NNNN                     the decision record behind @ours and @theirs
//! a>> SUB foo 1\nPUB foo 2\nhi\r\n
//! a< MSG foo 1 2\r\nhi
//! ```
//!
//! Then come the steps. A line that starts with a blank continues the one before it. `a` is a
//! connection; it is opened on first use with CONNECT, PING, PONG. `{s}` is a word of its own for
//! each case, so that cases on one server do not meet; `{prog}` is the program's name.
//!
//! | Step | Meaning |
//! |---|---|
//! | `a raw` · `a open` · `a connect {…}` | TCP only · and read INFO · and CONNECT, PING, PONG with these options |
//! | `a ws F; F` · `a websocket F; F` | a WebSocket (`{wport}`) with these header lines, or `POST /path` as the first: the answer's lines come first · and are passed over. A close frame is the line `CLOSE status text`, a pong `PONGED text` |
//! | `a tls` · `a tls NAME for=HOST only=1.2` | begin TLS on an open connection · show `{dir}/NAME.pem`, ask for HOST instead of `localhost` (whose certificate must come), offer one version only. Certificates are there if the configuration names `{dir}/server.pem`: `client` (email me@example.com, `{pin}`), `host` (host.example.com), `named` (CN=named,O=Toads) |
//! | `a frame 89 TEXT` · `a bare 82 TEXT` | a frame with this first byte · without a mask |
//! | `a deflate TEXT` · `a framed 1..4096` · `a deflated 1` | a compressed message · the largest frame so far · compressed messages so far |
//! | `a> TEXT` · `a>> TEXT` · `a>1 TEXT` | send with CRLF · exactly · with CRLF byte by byte |
//! | `a! [K: v; K: v] SUBJECT BODY` | publish; sizes are counted; headers are optional |
//! | `a+ [K: v] SUBJECT BODY` | publish into a stream; its ack comes and is no error |
//! | `a? [K: v] SUBJECT BODY` | publish with a reply subject of its own |
//! | `a= TEXT` | the next answer to an `a?`: `{…}` is JSON compared as a subset, `NATS/1.0 …` headers and payload (JSON behind them may come compressed), else the payload |
//! | `a== TEXT` · `a=< FRAME` · `a= nothing` | the answer's exact bytes · the whole MSG or HMSG · none within 150 ms |
//! | `a< FRAME` | the next operation that is not an answer; a payload or INFO that starts with `{` is JSON |
//! | `a<* FRAME` · `a<\| FRAME` | consecutive lines: all of these in any order · one of these |
//! | `a< nothing` · `a< nothing 500` · `a< close` | nothing within 150 ms or so many · the server closes, nothing before |
//! | `a< gone` | the server closes, perhaps after an error or a close frame, which the reference may lose |
//! | `a ping` | PING, and PONG is the next operation: nothing else was waiting |
//! | `a tally` · `a tallied sid:1 90..110` | PING, and count all messages until PONG · by `sid:`, `subject:` or `all` |
//! | `a close` | close our side |
//! | `wait 200` · `mark` · `took 900..1500` | sleep, in ms · remember the time · since then |
//! | `peak 1..100` | MiB of memory that the server has used at most (on Linux) |
//! | `repeat 5 STEP` | `{i}` runs from 1 |
//! | `file NAME` | the lines below become `{dir}/NAME` |
//! | `server kill` · `term` · `start` · `signal HUP` · `exit 0` · `log TEXT` · `config` | SIGKILL and wait · SIGTERM and wait for exit 0 · start again on the same port and directory · send · wait for exit · a log line holds TEXT · the lines below replace the configuration |
//! | `run ARGS` · `exit 1` · `out TEXT` · `nowhere TEXT` | run the program to its end · its exit code · its output holds TEXT · or does not |
//! | `exists PATH` · `gone PATH` · `holds PATH TEXT` | a file is there · is not, within the patience · its whole text, without a final line end |
//! | `{hport}` in a text | the port of a web server with account JWTs, see `web` |
//! | `http /PATH` · `status 200` · `body TEXT` | ask the monitoring port (`-m {mport}`) · the answer's status · its body, `{…}` as JSON; asked for again within the patience |
//! | `@ours STEP` · `@theirs STEP` | only for that witness; needs `differs:` |

use std::path::{Path, PathBuf};

pub use crate::parse::parse;
pub use crate::step::{Action, Expect, Opening, Range, ServerAction, Step};

/// Which server a case runs against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Witness {
    /// Natterjack.
    Ours,
    /// nats-server.
    Reference,
}

impl Witness {
    /// The word used in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Reference => "reference",
        }
    }
}

/// How the server of a case is started.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Setup {
    /// Flags beside `-a` and `-p`.
    pub flags: Vec<String>,
    /// The configuration file.
    pub config: Option<String>,
}

/// One case.
#[derive(Debug, Clone)]
pub struct Case {
    /// File and title: `core/parser/a-bare-lf-ends-a-control-line`.
    pub id: String,
    /// The behaviour, as written.
    pub title: String,
    /// The value of `{s}`.
    pub word: String,
    /// Capabilities that need this case.
    pub covers: Vec<String>,
    /// Capabilities of which it shows a part, with no claim that the rest is shown elsewhere.
    pub partly: Vec<String>,
    /// Where the rule stands.
    pub spec: Option<String>,
    /// The decision record that explains a difference, as `D-NNNN`.
    pub differs: Option<String>,
    /// Its server.
    pub setup: Setup,
    /// A server of its own.
    pub alone: bool,
    /// CONNECT of connections that do not choose their own.
    pub connect: String,
    /// Our server has not built it yet.
    pub waits: bool,
    /// PINGs from the server are shown to the case.
    pub manual_pings: bool,
    /// How long a step waits, in milliseconds.
    pub patience_ms: u64,
    /// What is done.
    pub steps: Vec<Step>,
    /// Changes with the text of the case and its defaults.
    pub hash: u32,
}

/// Reads all `.case` files below a directory, in the order of their paths.
///
/// # Errors
/// A file that cannot be read or parsed, as `path:line: text`.
pub fn load(root: &Path) -> Result<Vec<Case>, String> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    let mut cases = Vec::new();
    for path in files {
        let text =
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let name = path.strip_prefix(root).unwrap_or(&path).with_extension("");
        let name = name.to_string_lossy().replace('\\', "/");
        let parsed = parse(&name, &text).map_err(|e| format!("{}:{e}", path.display()))?;
        cases.extend(parsed);
    }
    Ok(cases)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let shown = |e: std::io::Error| format!("{}: {e}", directory.display());
    for entry in std::fs::read_dir(directory).map_err(shown)? {
        let path = entry.map_err(shown)?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "case") {
            files.push(path);
        }
    }
    Ok(())
}

/// Does `id` match a pattern in which `*` stands for any text?
#[must_use]
pub fn selected(glob: &str, id: &str) -> bool {
    let Some((head, tail)) = glob.split_once('*') else { return glob == id };
    let Some(rest) = id.strip_prefix(head) else { return false };
    (0..=rest.len()).any(|at| rest.is_char_boundary(at) && selected(tail, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(selected("core/*", "core/parser/x"));
        assert!(selected("*lf*", "core/parser/a-bare-lf-ends"));
        assert!(selected("core", "core"));
        assert!(!selected("core", "core/x"));
        assert!(!selected("jet*", "core/x"));
    }
}
