//! Passwords and tokens that do not leak through `Debug`, logs or timing.

use sha2::{Digest, Sha256};
use std::fmt;
use std::hint::black_box;

/// A configured password or token: plain text or a bcrypt hash. `Debug` shows `***`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself. It belongs into no log.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether nothing was configured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the text is a bcrypt hash: it begins like `$2a$11$`, with `a`, `b`, `x` or `y`.
    pub fn is_bcrypt(&self) -> bool {
        let [b'$', b'2', b'a' | b'b' | b'x' | b'y', b'$', tens, ones, b'$', ..] = self.0.as_bytes()
        else {
            return false;
        };
        tens.is_ascii_digit() && ones.is_ascii_digit()
    }

    pub(super) fn digest(&self) -> PasswordDigest {
        PasswordDigest::of(self.0.as_bytes())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret::new(text)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Stands for a presented password after the login, so that a reload can tell whether it still holds.
/// Comparing digests takes the same time wherever the texts differ and however long they are.
#[derive(Clone, Copy)]
pub(super) struct PasswordDigest([u8; 32]);

impl PasswordDigest {
    pub(super) fn of(password: &[u8]) -> Self {
        PasswordDigest(Sha256::digest(password).into())
    }

    pub(super) fn same(&self, other: &Self) -> bool {
        let difference =
            self.0.iter().zip(&other.0).fold(0u8, |seen, (a, b)| black_box(seen | (a ^ b)));
        black_box(difference) == 0
    }
}

impl fmt::Debug for PasswordDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
