//! The command line of nats-server.
//!
//! Flags are written as in Go: one dash or two, `-sd=DIR` or `-sd DIR`; a switch takes a value only
//! after `=` (`-D=false`). Parsing ends at the first word that is no flag.

mod defs;
mod overrides;
mod usage;

pub use overrides::Overrides;
pub use usage::{usage, usage_tls};

use defs::{Action, DEFS, Def};

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Command {
    /// Run the server.
    Serve(Overrides),
    /// Check the configuration file, which is named, and exit.
    Check(Overrides),
    /// Print the version.
    Version,
    /// Print [`usage`].
    Help,
    /// Print [`usage_tls`].
    HelpTls,
    /// Send a signal to a running server.
    Signal {
        /// Which.
        signal: Signal,
        /// A process id, a pattern such as `12*`, or a pid file; the only running server if absent.
        target: Option<String>,
    },
}

/// What `--signal` can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Lame duck mode (USR2).
    LameDuck,
    /// Kill (KILL).
    Stop,
    /// Orderly shutdown (INT).
    Quit,
    /// Orderly shutdown (TERM).
    Term,
    /// Reopen the log file (USR1).
    Reopen,
    /// Read the configuration again (HUP).
    Reload,
}

impl Signal {
    /// Every signal with its name on the command line.
    pub const ALL: [(&'static str, Self); 6] = [
        ("ldm", Self::LameDuck),
        ("stop", Self::Stop),
        ("quit", Self::Quit),
        ("term", Self::Term),
        ("reopen", Self::Reopen),
        ("reload", Self::Reload),
    ];

    /// The signal with this name on the command line.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, signal)| signal)
    }
}

/// Why a command line cannot be obeyed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlagError {
    /// A flag that is unknown, malformed or has a bad value: print the text, then [`usage`].
    #[error("{0}")]
    Usage(String),
    /// A word that is neither flag nor value.
    #[error("unrecognized command: {word:?}{}", hint.map(|hint| format!("\n{hint}")).unwrap_or_default())]
    Unrecognized {
        /// The word.
        word: String,
        /// What may have been meant.
        hint: Option<&'static str>,
    },
    /// Anything else: print `PROGRAM: text`.
    #[error("{0}")]
    Fatal(String),
}

impl FlagError {
    /// Whether the usage is printed after the text.
    pub fn shows_usage(&self) -> bool {
        matches!(self, Self::Usage(_))
    }

    /// The exit code: nats-server's 0 after printing its usage, else 1.
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.shows_usage())
    }
}

/// Parses the arguments after the program's name.
///
/// # Errors
///
/// See [`FlagError`]; the texts are nats-server's.
///
/// # Examples
///
/// ```
/// use natterjack_config::flags::{parse, Command};
///
/// let args = ["-js", "--port", "4333", "-sd=/data"].map(str::to_owned);
/// let Ok(Command::Serve(overrides)) = parse(args) else { panic!() };
/// assert_eq!(overrides.port, Some(4333));
/// assert_eq!(overrides.store_dir.as_deref(), Some("/data"));
/// ```
pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Command, FlagError> {
    let mut args = args.into_iter().peekable();
    let mut parsed = defs::Parsed::default();
    while let Some(arg) = args.next_if(|arg| arg.len() > 1 && arg.starts_with('-')) {
        if arg == "--" {
            break;
        }
        let (name, value) = split(&arg)?;
        let Some(def) = DEFS.iter().find(|def| def.names.contains(&name)) else {
            return Err(FlagError::Usage(format!("flag provided but not defined: -{name}")));
        };
        let value = match (value, def.action.is_switch()) {
            (Some(value), _) => Some(value.to_owned()),
            (None, true) => None,
            (None, false) => match args.next() {
                Some(value) => Some(value),
                None => {
                    return Err(FlagError::Usage(format!("flag needs an argument: -{name}")));
                }
            },
        };
        apply(def, name, value, &mut parsed)?;
    }
    finish(parsed, args.next())
}

/// The name and the value after `=`, of `-name=value` or `--name=value`.
fn split(arg: &str) -> Result<(&str, Option<&str>), FlagError> {
    let body = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).unwrap_or(arg);
    if body.is_empty() || body.starts_with(['-', '=']) {
        return Err(FlagError::Usage(format!("bad flag syntax: {arg}")));
    }
    Ok(match body.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (body, None),
    })
}

fn apply(
    def: &Def,
    name: &str,
    value: Option<String>,
    parsed: &mut defs::Parsed,
) -> Result<(), FlagError> {
    match def.action {
        Action::Switch(set) => {
            let text = value.unwrap_or_else(|| "true".to_owned());
            let flag = parse_bool(&text).ok_or_else(|| {
                FlagError::Usage(format!("invalid boolean value {text:?} for -{name}: parse error"))
            })?;
            set(parsed, flag);
        }
        Action::Number(set) => {
            let text = value.unwrap_or_default();
            let number = parse_number(&text).map_err(|why| {
                FlagError::Usage(format!("invalid value {text:?} for flag -{name}: {why}"))
            })?;
            set(parsed, number).map_err(FlagError::Fatal)?;
        }
        Action::Text(set) => set(parsed, value.unwrap_or_default()),
        Action::Refused(switch) => {
            // `-tls=false` asks for what is so anyway.
            let off = switch && value.as_deref().and_then(parse_bool) == Some(false);
            if !off {
                return Err(FlagError::Fatal(format!("flag -{name} is not supported yet")));
            }
        }
        Action::Ignored(_) => parsed
            .overrides
            .warnings
            .push(format!("flag -{name} is not supported yet and has no effect")),
    }
    Ok(())
}

/// What Go's flags take for a bool.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn parse_number(text: &str) -> Result<i64, &'static str> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let parsed = match hexadecimal {
        Some(digits) if !digits.starts_with(['+', '-']) => i64::from_str_radix(digits, 16),
        _ => text.parse(),
    };
    parsed.map_err(|error| match error.kind() {
        std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
            "value out of range"
        }
        _ => "parse error",
    })
}

fn finish(parsed: defs::Parsed, leftover: Option<String>) -> Result<Command, FlagError> {
    if parsed.version {
        return Ok(Command::Version);
    }
    if parsed.help {
        return Ok(Command::Help);
    }
    if parsed.help_tls {
        return Ok(Command::HelpTls);
    }
    if let Some(word) = leftover {
        return match word.to_ascii_lowercase().as_str() {
            "version" => Ok(Command::Version),
            "help" => Ok(Command::Help),
            _ => Err(FlagError::Unrecognized { hint: hint(&word), word }),
        };
    }
    if let Some(text) = parsed.signal {
        let (name, target) = match text.split_once('=') {
            Some((name, target)) => (name, Some(target.to_owned())),
            None => (text.as_str(), None),
        };
        let signal = Signal::from_name(name)
            .ok_or_else(|| FlagError::Fatal(format!("unknown signal {name:?}")))?;
        return Ok(Command::Signal { signal, target: target.filter(|target| !target.is_empty()) });
    }
    if parsed.check {
        if parsed.overrides.config.is_none() {
            return Err(FlagError::Fatal(
                "must specify [-c, --config] option to check configuration file syntax".to_owned(),
            ));
        }
        return Ok(Command::Check(parsed.overrides));
    }
    Ok(Command::Serve(parsed.overrides))
}

/// A help for words that come from a batch file or a Windows habit.
fn hint(word: &str) -> Option<&'static str> {
    if word.eq_ignore_ascii_case("rem") || word.starts_with("::") {
        Some("a remark in a batch file must stand on a line of its own, not after the command")
    } else if word.starts_with('#') {
        Some("a comment must be separated from the command as its shell asks for")
    } else if word.len() > 1 && word.starts_with('/') && !word[1..].contains('/') {
        Some("flags start with a dash: -p 4222, --config FILE")
    } else {
        None
    }
}
