//! Logins: what to show a server, worked out anew for each attempt to connect.
//!
//! [`Auth`] says where a login comes from. Files and functions are asked again on every (re)connect,
//! so that a rotated token or credentials file is picked up without restarting the program.
//! Absent on purpose: caching of anything secret.

mod creds;
mod jwt;

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use crate::error::{AuthSource, Cause, CredsMissing, CredsUnreadable, Error};
use crate::secret::Secret;

pub use creds::Credentials;
pub use jwt::UserClaims;

/// What an async login function returns.
type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Cause>> + Send>>;

/// A function that gives a token or a JWT.
pub type SecretFn = Arc<dyn Fn() -> Answer<Secret> + Send + Sync>;

/// A function that signs the server's nonce.
pub type SignFn = Arc<dyn Fn(Vec<u8>) -> Answer<Vec<u8>> + Send + Sync>;

/// Where the login comes from.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Auth {
    /// No login.
    #[default]
    None,
    /// User name and password.
    UserPassword(String, Secret),
    /// A token.
    Token(Secret),
    /// A function that gives the token; asked on each (re)connect. See [`Auth::token_fn`].
    TokenFn(SecretFn),
    /// A file that holds the token; read on each (re)connect, blanks around it are dropped.
    TokenFile(PathBuf),
    /// A credentials file (user JWT and seed); read on each (re)connect.
    CredsFile(PathBuf),
    /// The text of a credentials file.
    CredsText(Secret),
    /// A user JWT and the seed of its user.
    JwtAndSeed(Secret, Secret),
    /// The seed of a user nkey (`SU..`).
    NkeySeed(Secret),
    /// A file that holds the seed; read on each (re)connect.
    NkeyFile(PathBuf),
    /// A JWT and a signature by functions; asked on each (re)connect. See [`Auth::jwt`].
    Jwt {
        /// Gives the user JWT.
        jwt: SecretFn,
        /// Signs the server's nonce with the user's key.
        sign: SignFn,
    },
}

impl Auth {
    /// User name and password.
    pub fn user_password(user: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self::UserPassword(user.into(), password.into())
    }

    /// A token.
    pub fn token(token: impl Into<Secret>) -> Self {
        Self::Token(token.into())
    }

    /// A function that gives the token.
    pub fn token_fn<F, Fut>(give: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Secret, Box<dyn std::error::Error + Send + Sync>>>
            + Send
            + 'static,
    {
        Self::TokenFn(secret_fn(give))
    }

    /// A token file, read on each (re)connect.
    pub fn token_file(path: impl Into<PathBuf>) -> Self {
        Self::TokenFile(path.into())
    }

    /// A credentials file, read on each (re)connect.
    pub fn creds_file(path: impl Into<PathBuf>) -> Self {
        Self::CredsFile(path.into())
    }

    /// The text of a credentials file. A missing final newline, CRLF line ends, leading blanks and
    /// a missing banner do not matter.
    pub fn creds_text(text: impl Into<Secret>) -> Self {
        Self::CredsText(text.into())
    }

    /// The seed of a user nkey.
    pub fn nkey_seed(seed: impl Into<Secret>) -> Self {
        Self::NkeySeed(seed.into())
    }

    /// A file with the seed of a user nkey, read on each (re)connect.
    pub fn nkey_file(path: impl Into<PathBuf>) -> Self {
        Self::NkeyFile(path.into())
    }

    /// A JWT and a signature by functions.
    pub fn jwt<J, JFut, S, SFut>(jwt: J, sign: S) -> Self
    where
        J: Fn() -> JFut + Send + Sync + 'static,
        JFut: Future<Output = Result<Secret, Box<dyn std::error::Error + Send + Sync>>>
            + Send
            + 'static,
        S: Fn(Vec<u8>) -> SFut + Send + Sync + 'static,
        SFut: Future<Output = Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>>>
            + Send
            + 'static,
    {
        let sign = Arc::new(move |nonce| {
            let answer = sign(nonce);
            Box::pin(async move { answer.await.map_err(Cause::from) }) as Answer<Vec<u8>>
        });
        Self::Jwt { jwt: secret_fn(jwt), sign }
    }

    /// The kind of login in words, as errors and `effective_options()` show it.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self {
            Self::None => "no login",
            Self::UserPassword(..) => "user and password",
            Self::Token(_) | Self::TokenFn(_) | Self::TokenFile(_) => "token",
            Self::CredsFile(_) | Self::CredsText(_) => "credentials",
            Self::JwtAndSeed(..) | Self::Jwt { .. } => "jwt",
            Self::NkeySeed(_) | Self::NkeyFile(_) => "nkey",
        }
    }

    /// Works out what to send to a server that showed `nonce`.
    pub(crate) async fn answer(&self, nonce: &[u8]) -> Result<async_nats::Auth, Error> {
        let mut login = async_nats::Auth::new();
        match self {
            Self::None => {}
            Self::UserPassword(user, password) => {
                login.username = Some(user.clone());
                login.password = Some(password.reveal().to_owned());
            }
            Self::Token(token) => login.token = Some(token.reveal().to_owned()),
            Self::TokenFn(give) => {
                let token = give().await.map_err(|error| source("token function", error))?;
                login.token = Some(token.reveal().to_owned());
            }
            Self::TokenFile(path) => login.token = Some(read_secret("token file", path).await?),
            Self::CredsFile(_) | Self::CredsText(_) | Self::JwtAndSeed(..) => {
                let creds = self.credentials().await?;
                creds.check_expiry(SystemTime::now())?;
                login.jwt = Some(creds.jwt().to_owned());
                login.signature = Some(creds.sign(nonce)?);
            }
            Self::NkeySeed(seed) => nkey_login(seed.reveal(), nonce, &mut login)?,
            Self::NkeyFile(path) => {
                nkey_login(&read_secret("nkey file", path).await?, nonce, &mut login)?;
            }
            Self::Jwt { jwt, sign } => {
                let token = jwt().await.map_err(|error| source("jwt function", error))?;
                login.jwt = Some(token.reveal().to_owned());
                let signature = sign(nonce.to_vec())
                    .await
                    .map_err(|error| source("signing function", error))?;
                login.signature = Some(signature);
            }
        }
        Ok(login)
    }

    /// The JWT and seed of this login, if it is made of them.
    async fn credentials(&self) -> Result<Credentials, Error> {
        match self {
            Self::CredsFile(path) => Credentials::read(path).await,
            Self::CredsText(text) => Credentials::parse(text.reveal(), "the given text"),
            Self::JwtAndSeed(jwt, seed) => {
                Credentials::from_parts(jwt.reveal(), seed.reveal(), "the given jwt and seed")
            }
            _ => Err(source("login", cause("it has no credentials".into()))),
        }
    }

    /// Checks what can be checked without a server: that files are there and of the right form, and that
    /// credentials have not expired. Functions are not asked.
    pub(crate) async fn check(&self) -> Result<(), Error> {
        match self {
            Self::None
            | Self::UserPassword(..)
            | Self::Token(_)
            | Self::TokenFn(_)
            | Self::Jwt { .. } => Ok(()),
            // Any nonce will do.
            _ => self.answer(b"check").await.map(|_| ()),
        }
    }

    /// The user's claims, where this login is a JWT that can be read beforehand: name, account,
    /// expiry. `None` for other logins.
    ///
    /// # Errors
    /// As for connecting: the file is missing, unreadable or malformed.
    pub async fn claims(&self) -> Result<Option<UserClaims>, Error> {
        match self {
            Self::CredsFile(_) | Self::CredsText(_) | Self::JwtAndSeed(..) => {
                Ok(Some(self.credentials().await?.claims().clone()))
            }
            _ => Ok(None),
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserPassword(user, _) => write!(f, "user and password ({user}, ***)"),
            Self::CredsFile(path) | Self::TokenFile(path) | Self::NkeyFile(path) => {
                write!(f, "{} from {}", self.method(), path.display())
            }
            _ => f.write_str(self.method()),
        }
    }
}

fn secret_fn<F, Fut>(give: F) -> SecretFn
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Secret, Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    Arc::new(move || {
        let answer = give();
        Box::pin(async move { answer.await.map_err(Cause::from) }) as Answer<Secret>
    })
}

fn source(method: &str, error: Cause) -> Error {
    AuthSource { method: method.to_owned(), error }.into()
}

async fn read_secret(method: &str, path: &Path) -> Result<String, Error> {
    let path = path.to_owned();
    let read = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await
    };
    match read {
        Ok(Ok(text)) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Ok(Ok(_)) => Err(source(method, cause(format!("{} is empty", path.display())))),
        Ok(Err(error)) => Err(source(method, cause(format!("{}: {error}", path.display())))),
        Err(error) => Err(source(method, Arc::new(error))),
    }
}

fn cause(text: String) -> Cause {
    let error: Box<dyn std::error::Error + Send + Sync> = text.into();
    error.into()
}

fn nkey_login(seed: &str, nonce: &[u8], login: &mut async_nats::Auth) -> Result<(), Error> {
    let pair = nkeys::KeyPair::from_seed(seed.trim())
        .map_err(|error| source("nkey seed", Arc::new(error)))?;
    login.nkey = Some(pair.public_key());
    login.signature = Some(pair.sign(nonce).map_err(|error| source("nkey seed", Arc::new(error)))?);
    Ok(())
}

/// The error for a credentials file that cannot be opened.
fn unreadable(path: &Path, error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        CredsMissing { path: path.to_owned() }.into()
    } else {
        CredsUnreadable { path: path.to_owned(), error: Arc::new(error) }.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_file_is_read_anew_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let auth = Auth::token_file(&path);
        assert_eq!(auth.answer(b"").await.map(|_| ()).unwrap_err().code(), "auth.source");
        std::fs::write(&path, "first\r\n").unwrap();
        assert_eq!(auth.answer(b"").await.unwrap().token.unwrap(), "first");
        std::fs::write(&path, "second").unwrap();
        assert_eq!(auth.answer(b"").await.unwrap().token.unwrap(), "second");
    }

    #[tokio::test]
    async fn a_token_function_is_asked_each_time() {
        let calls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = calls.clone();
        let auth = Auth::token_fn(move || {
            let n = counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            async move { if n == 0 { Err("not yet".into()) } else { Ok(format!("t{n}").into()) } }
        });
        assert!(auth.answer(b"").await.is_err());
        assert_eq!(auth.answer(b"").await.unwrap().token.unwrap(), "t1");
    }

    #[tokio::test]
    async fn an_nkey_signs_the_nonce() {
        let pair = nkeys::KeyPair::new_user();
        let auth = Auth::nkey_seed(pair.seed().unwrap());
        let login = auth.answer(b"nonce").await.unwrap();
        assert_eq!(login.nkey.unwrap(), pair.public_key());
        pair.verify(b"nonce", &login.signature.unwrap()).unwrap();
        assert!(Auth::nkey_seed("SUnonsense").answer(b"n").await.is_err());
    }

    // Shows U-015.
    #[test]
    fn no_login_shows_its_secret() {
        let secret = "s3cr3t";
        for auth in [
            Auth::user_password("derek", secret),
            Auth::token(secret),
            Auth::creds_text(secret),
            Auth::JwtAndSeed(secret.into(), secret.into()),
            Auth::nkey_seed(secret),
        ] {
            assert!(!format!("{auth:?}").contains(secret), "{auth:?}");
        }
    }
}
