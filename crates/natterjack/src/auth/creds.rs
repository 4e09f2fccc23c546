//! Credentials files: a user JWT, and the seed that proves it.
//!
//! ```text
//! -----BEGIN NATS USER JWT-----
//! <jwt>
//! ------END NATS USER JWT------
//! (any text)
//! -----BEGIN USER NKEY SEED-----
//! <SU...>
//! ------END USER NKEY SEED------
//! ```
//!
//! Real files vary, so the reader is lenient (spec/ux.md D): CRLF, no final newline, no banner, leading
//! blanks, three or more dashes; the JWT first and the seed second. It is strict about what is inside.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::jwt::UserClaims;
use super::unreadable;
use crate::error::{CredsExpired, CredsMalformed, CredsMismatch, Error};
use crate::secret::Secret;

/// A user JWT with its seed, checked: the seed is the one of the JWT's user.
pub struct Credentials {
    jwt: Secret,
    pair: nkeys::KeyPair,
    claims: UserClaims,
    source_name: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("claims", &self.claims).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads a credentials file.
    ///
    /// # Errors
    /// `CredsMissing`, `CredsUnreadable`, `CredsMalformed`, `CredsMismatch`; each names the path.
    /// Whether they have expired is not checked here.
    pub async fn read(path: &Path) -> Result<Self, Error> {
        let owned = path.to_owned();
        let text = tokio::task::spawn_blocking(move || std::fs::read(owned))
            .await
            .map_err(|error| unreadable(path, std::io::Error::other(error)))?
            .map_err(|error| unreadable(path, error))?;
        let name = path.display().to_string();
        let text = String::from_utf8(text).map_err(|_| CredsMalformed {
            source_name: name.clone(),
            what: "it is not text".into(),
        })?;
        Self::parse(&text, &name)
    }

    /// Parses the text of a credentials file; `source_name` is what errors call it.
    ///
    /// # Errors
    /// `CredsMalformed`, `CredsMismatch`.
    pub fn parse(text: &str, source_name: &str) -> Result<Self, Error> {
        let malformed = |what: String| {
            Error::from(CredsMalformed { source_name: source_name.to_owned(), what })
        };
        let mut blocks = blocks(text).map_err(malformed)?.into_iter();
        let jwt = blocks.next().ok_or_else(|| malformed("no user JWT block".into()))?;
        let seed = blocks.next().ok_or_else(|| malformed("no user seed block".into()))?;
        Self::from_parts(&jwt, &seed, source_name)
    }

    /// Puts a JWT and a seed together.
    pub(crate) fn from_parts(jwt: &str, seed: &str, source_name: &str) -> Result<Self, Error> {
        let malformed = |what: String| CredsMalformed { source_name: source_name.to_owned(), what };
        let (jwt, seed) = (jwt.trim(), seed.trim());
        let claims =
            UserClaims::parse(jwt).map_err(|what| malformed(format!("user JWT: {what}")))?;
        let pair = nkeys::KeyPair::from_seed(seed)
            .map_err(|error| malformed(format!("user seed: {error}").to_lowercase()))?;
        if pair.public_key() != claims.user {
            return Err(CredsMismatch { source_name: source_name.to_owned() }.into());
        }
        Ok(Self { jwt: jwt.into(), pair, claims, source_name: source_name.to_owned() })
    }

    /// What the JWT says about the user.
    #[must_use]
    pub fn claims(&self) -> &UserClaims {
        &self.claims
    }

    pub(crate) fn jwt(&self) -> &str {
        self.jwt.reveal()
    }

    pub(crate) fn sign(&self, nonce: &[u8]) -> Result<Vec<u8>, Error> {
        self.pair.sign(nonce).map_err(|error| {
            CredsMalformed { source_name: self.source_name.clone(), what: error.to_string() }.into()
        })
    }

    /// An error if the JWT's `exp` lies before `now`.
    pub(crate) fn check_expiry(&self, now: SystemTime) -> Result<(), Error> {
        let Some(expires) = self.claims.expires else { return Ok(()) };
        match now.duration_since(expires) {
            Ok(since) if since > Duration::ZERO => {
                Err(CredsExpired { source_name: self.source_name.clone(), since }.into())
            }
            _ => Ok(()),
        }
    }
}

/// The first line inside each block that is fenced by lines of at least three dashes on both sides.
fn blocks(text: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    // The title of the block that is open, and its content so far.
    let mut open: Option<(String, Option<String>)> = None;
    for line in text.lines().map(str::trim) {
        let Some(title) = fence(line) else {
            if let Some((title, content)) = &mut open
                && !line.is_empty()
            {
                if content.is_some() {
                    return Err(format!("block `{title}` has more than one line"));
                }
                *content = Some(line.to_owned());
            }
            continue;
        };
        match open.take() {
            None => open = Some((title.to_owned(), None)),
            Some((_, Some(content))) => found.push(content),
            Some((title, None)) => return Err(format!("block `{title}` is empty")),
        }
    }
    match open {
        // The last END line may be missing if the content is there: tools that cut off trailing
        // lines exist, and the checks of JWT and seed decide anyway.
        Some((_, Some(content))) => found.push(content),
        Some((title, None)) => return Err(format!("block `{title}` is empty")),
        None => {}
    }
    Ok(found)
}

/// The title of a fence line such as `-----BEGIN NATS USER JWT-----`.
fn fence(line: &str) -> Option<&str> {
    let inner = line.strip_prefix("---")?.strip_suffix("---")?;
    let title = inner.trim_matches('-').trim();
    (!title.is_empty()).then_some(title)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::auth::jwt::tests::user_jwt;

    /// A credentials file for a fresh user, expiring `exp` seconds after the epoch if given.
    pub(crate) fn creds_file(exp: Option<u64>) -> (String, nkeys::KeyPair) {
        let user = nkeys::KeyPair::new_user();
        (decorate(&user_jwt(&user, exp), &user.seed().unwrap()), user)
    }

    fn decorate(jwt: &str, seed: &str) -> String {
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\
             NKEY Seed printed below can be used to sign and prove identity.\n\
             NKEYs are sensitive and should be treated as secrets.\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n\n\
             *************************************************************\n"
        )
    }

    // Shows U-013.
    #[test]
    fn the_shapes_that_occur_in_the_wild_are_read() {
        let (text, user) = creds_file(None);
        let lines: Vec<&str> = text.lines().collect();
        let bare = [&lines[0..3], &lines[8..11]].concat().join("\n");
        let shapes = [
            text.clone(),
            text.trim_end().to_owned(),
            text.replace('\n', "\r\n"),
            bare.clone(),
            bare.replace("-----", "---"),
            text.lines().map(|l| format!("  {l}\n")).collect(),
        ];
        for shape in shapes {
            let creds = Credentials::parse(&shape, "x").unwrap();
            assert_eq!(creds.claims().user, user.public_key());
            user.verify(b"n", &creds.sign(b"n").unwrap()).unwrap();
        }
    }

    // Shows U-012.
    #[tokio::test]
    async fn each_way_to_be_wrong_has_an_error_of_its_own_that_names_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("user.creds");
        let (good, _) = creds_file(None);
        let (expired, _) = creds_file(Some(1000));
        let stranger = nkeys::KeyPair::new_user().seed().unwrap();
        let jwt = good.lines().nth(1).unwrap().to_owned();
        let check = async |content: Option<&str>| {
            let _ = std::fs::remove_file(&path);
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            let error = match Credentials::read(&path).await {
                Err(error) => error,
                Ok(creds) => creds.check_expiry(SystemTime::now()).unwrap_err(),
            };
            assert!(error.to_string().contains("user.creds"), "{error}");
            (error.code(), error.to_string())
        };
        assert_eq!(check(None).await.0, "auth.creds_missing");
        assert_eq!(check(Some("hello")).await.0, "auth.creds_malformed");
        let no_seed = good.split("*******").next().unwrap();
        let (code, text) = check(Some(no_seed)).await;
        assert_eq!(code, "auth.creds_malformed");
        assert!(text.ends_with("no user seed block"), "{text}");
        let (code, text) = check(Some(&good.replace(&jwt, "abc.def"))).await;
        assert_eq!(code, "auth.creds_malformed");
        assert!(text.contains("user JWT: "), "{text}");
        assert_eq!(check(Some(&decorate(&jwt, &stranger))).await.0, "auth.creds_mismatch");
        assert_eq!(check(Some(&expired)).await.0, "auth.creds_expired");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let unreadable = Credentials::read(&path).await.unwrap_err();
        assert_eq!(unreadable.code(), "auth.creds_unreadable");
        assert!(unreadable.to_string().contains("user.creds"), "{unreadable}");
    }

    // Shows U-015.
    #[test]
    fn no_error_and_no_debug_shows_seed_or_jwt() {
        let (text, user) = creds_file(None);
        let (jwt, seed) = (text.lines().nth(1).unwrap().to_owned(), user.seed().unwrap());
        let creds = Credentials::parse(&text, "x").unwrap();
        let mut shown = format!("{creds:?}");
        let broken = text.replace(&seed, &seed[..40]);
        shown += &format!("{:?}", Credentials::parse(&broken, "x").unwrap_err());
        let doubled = text.replace(&jwt, &format!("{jwt}\n{jwt}"));
        shown += &format!("{:?}", Credentials::parse(&doubled, "x").unwrap_err());
        assert!(!shown.contains(&seed[..40]) && !shown.contains(&jwt), "{shown}");
    }
}
