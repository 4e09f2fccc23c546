//! Credentials files: a user's token and its seed in one text.

use super::{JwtError, User, decode};
use nkeys::KeyPair;
use std::fmt;
use thiserror::Error;

/// A user's token with the seed that signs for it. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Creds {
    /// The user's token.
    pub jwt: String,
    /// The user's seed (`SU…`), a secret.
    pub seed: String,
}

impl fmt::Debug for Creds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Creds(***)")
    }
}

/// A block of a credentials file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredsPart {
    /// The first block.
    Jwt,
    /// The second block.
    Seed,
}

impl fmt::Display for CredsPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CredsPart::Jwt => "user JWT",
            CredsPart::Seed => "user seed",
        })
    }
}

/// Why a text is no credentials file. Holds none of its content.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredsError {
    /// No such block between dashed lines.
    #[error("no {0} block found")]
    Missing(CredsPart),
    /// What stands in the block is not what belongs there.
    #[error("the {0} block is malformed")]
    Malformed(CredsPart),
    /// The token cannot be read.
    #[error("the user JWT is not valid: {0}")]
    Jwt(#[from] JwtError),
    /// The seed is not that of the token's user.
    #[error("the seed does not match the subject of the user JWT")]
    SeedMismatch,
}

impl Creds {
    /// Reads a credentials file. Accepts CRLF, a missing final newline, a missing banner, leading blanks
    /// and lines of three or more dashes; the token comes first, the seed second.
    ///
    /// ```
    /// use natterjack_core::jwt::Creds;
    ///
    /// let seed = "SUAAOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBZ5FE";
    /// let text = format!("---BEGIN---\r\n  a.b.c\r\n---END---\r\n---\r\n{seed}\r\n---");
    /// let creds = Creds::parse(&text).unwrap();
    /// assert_eq!((creds.jwt.as_str(), creds.seed.as_str()), ("a.b.c", seed));
    /// ```
    ///
    /// # Errors
    ///
    /// Which block is missing or malformed. Whether the token is valid and fits the seed is left to
    /// [`Creds::check`]: a client need not know, and an expired file is still a credentials file.
    pub fn parse(text: &str) -> Result<Self, CredsError> {
        let blocks = blocks(text);
        let jwt = *blocks.first().ok_or(CredsError::Missing(CredsPart::Jwt))?;
        if jwt.split('.').count() != 3 {
            return Err(CredsError::Malformed(CredsPart::Jwt));
        }
        let seed = *blocks.get(1).ok_or(CredsError::Missing(CredsPart::Seed))?;
        if !seed.starts_with("SU") || KeyPair::from_seed(seed).is_err() {
            return Err(CredsError::Malformed(CredsPart::Seed));
        }
        Ok(Creds { jwt: jwt.to_owned(), seed: seed.to_owned() })
    }

    /// Whether the token can be read and the seed is its user's.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn check(&self) -> Result<(), CredsError> {
        let claims = decode::<User>(&self.jwt)?;
        let key =
            KeyPair::from_seed(&self.seed).map_err(|_| CredsError::Malformed(CredsPart::Seed))?;
        (key.public_key() == claims.sub).then_some(()).ok_or(CredsError::SeedMismatch)
    }

    /// Writes the file's text as `nsc` does. It belongs into a file that only its owner reads (0600).
    ///
    /// # Errors
    ///
    /// What [`Creds::check`] finds: a file that cannot work is not written.
    pub fn format(&self) -> Result<String, CredsError> {
        self.check()?;
        let Creds { jwt, seed } = self;
        Ok(format!(
            "-----BEGIN NATS USER JWT-----\n\
             {jwt}\n\
             ------END NATS USER JWT------\n\
             \n\
             ************************* IMPORTANT *************************\n\
             NKEY Seed printed below can be used to sign and prove identity.\n\
             NKEYs are sensitive and should be treated as secrets.\n\
             \n\
             -----BEGIN USER NKEY SEED-----\n\
             {seed}\n\
             ------END USER NKEY SEED------\n\
             \n\
             *************************************************************\n"
        ))
    }
}

/// Reads a seed from a text: a seed alone on a line, a block between dashed lines, or the second block
/// of a credentials file.
///
/// # Errors
///
/// There is none, or it is no seed.
pub fn parse_seed(text: &str) -> Result<String, CredsError> {
    let blocks = blocks(text);
    let bare =
        || text.lines().map(str::trim).find(|line| line.starts_with('S') && line.len() == 58);
    let seed = match blocks.as_slice() {
        [_, second, ..] => Some(*second),
        [only] => Some(*only),
        [] => bare(),
    };
    let seed = seed.ok_or(CredsError::Missing(CredsPart::Seed))?;
    match KeyPair::from_seed(seed) {
        Ok(_) => Ok(seed.to_owned()),
        Err(_) => Err(CredsError::Malformed(CredsPart::Seed)),
    }
}

/// The lines that stand between two dashed lines.
pub(super) fn blocks(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        if !is_dashed(line) {
            continue;
        }
        let Some(body) = lines.next_if(|next| is_body(next)) else {
            continue;
        };
        if lines.next_if(|next| is_dashed(next)).is_some() {
            found.push(body);
        }
    }
    found
}

fn is_dashed(line: &str) -> bool {
    line.len() >= 3 && line.starts_with("---") && line.ends_with("---")
}

fn is_body(line: &str) -> bool {
    let is_character = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=".contains(&byte);
    !line.is_empty() && !is_dashed(line) && line.bytes().all(is_character)
}
