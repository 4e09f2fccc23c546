//! Where operators, accounts and users are kept: in the layout of `nsc`, so that both tools can be used
//! in turn.
//!
//! ```text
//! $XDG_DATA_HOME/nats/nsc/stores/OP/.nsc and OP.jwt, each 0600
//!                         stores/OP/accounts/A/A.jwt
//!                         stores/OP/accounts/A/users/U.jwt
//!                         keys/keys/A/BC/ABC….nk      a seed by its public key
//!                         keys/creds/OP/A/U.creds
//! $XDG_CONFIG_HOME/nats/nsc/nsc.json                  which operator is in use
//! ```
//!
//! `$NKEYS_PATH` takes the place of `keys`. What an old `nsc` left in `~/.nsc` and `~/.nkeys` is used
//! where there is nothing else.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use natterjack_core::jwt::{
    Account, AccountClaims, ClaimBody, Claims, Operator, OperatorClaims, User, UserClaims, decode,
    find_token,
};
use nkeys::KeyPair;
use serde_json::{Map, Value, json};

use super::files::make_directory;
use crate::exit::{Failure, Outcome, status};
use crate::units;

/// The directories.
#[derive(Debug)]
pub(crate) struct Store {
    stores: PathBuf,
    keys: PathBuf,
    /// `nsc.json`.
    config: PathBuf,
}

/// An operator of the store.
pub(super) struct Held<'a> {
    pub(super) store: &'a Store,
    pub(super) name: String,
    pub(super) token: String,
    pub(super) claims: OperatorClaims,
}

/// A variable with a path.
fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|text| !text.is_empty()).map(PathBuf::from)
}

impl Store {
    /// # Errors
    /// There is neither HOME nor what takes its place; `nsc.json` cannot be read.
    pub(crate) fn open() -> Result<Self, Failure> {
        let home = path("HOME");
        let base = |name: &str, below: &str| {
            path(name).or_else(|| Some(home.as_ref()?.join(below))).ok_or_else(|| {
                Failure::usage(format!("operators and keys need HOME or {name}"))
                    .hint("set it to a directory that only you may read")
            })
        };
        let data = base("XDG_DATA_HOME", ".local/share")?.join("nats/nsc");
        let settings = base("XDG_CONFIG_HOME", ".config")?.join("nats/nsc");
        // The old place counts if it is there and the new one is not.
        let or_old = |new: PathBuf, old: &str| match home.as_ref().map(|home| home.join(old)) {
            Some(old) if !new.exists() && old.exists() => old,
            _ => new,
        };
        let config = or_old(settings.join("nsc.json"), ".nsc/nsc.json");
        let mut store = Self {
            stores: or_old(data.join("stores"), ".nsc/nats"),
            keys: path("NKEYS_PATH").unwrap_or_else(|| or_old(data.join("keys"), ".nkeys")),
            config,
        };
        // Passed over, it would be another directory that is looked at, and written to.
        if let Some(root) = filled(&store.settings()?, "store_root") {
            store.stores = PathBuf::from(root);
        }
        Ok(store)
    }

    fn settings(&self) -> Result<Map<String, Value>, Failure> {
        match fs::read_to_string(&self.config) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| {
                let text = format!("{}: {error}", self.config.display());
                Failure::new(status::FAILED, "auth.settings", text).hint("mend it, or move it away")
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Map::new()),
            Err(error) => Err(Failure::io(self.config.display(), &error)),
        }
    }

    /// The names of the operators.
    pub(super) fn operators(&self) -> Vec<String> {
        holders(&self.stores)
    }

    /// The operator in use: the one that was selected, or the only one.
    pub(super) fn selected(&self) -> Option<String> {
        let all = self.operators();
        let selected = self.settings().ok().and_then(|settings| filled(&settings, "operator"));
        let selected = selected.filter(|name| all.contains(name));
        selected.or_else(|| <[String; 1]>::try_from(all).ok().map(|[only]| only))
    }

    /// Uses an operator from now on. What else stands in `nsc.json` stays.
    pub(super) fn select(&self, name: &str) -> Outcome {
        self.operator(Some(name))?;
        let mut settings = self.settings()?;
        settings.insert("operator".to_owned(), name.into());
        settings.entry("store_root").or_insert_with(|| self.stores.display().to_string().into());
        let text = serde_json::to_string_pretty(&settings).expect("a map of JSON encodes");
        replace(&self.config, &text)
    }

    /// An operator: the one that is named, or the one in use.
    ///
    /// # Errors
    /// There is none of that name, none at all, or several and none is selected.
    pub(super) fn operator(&self, name: Option<&str>) -> Result<Held<'_>, Failure> {
        let name = match (name, self.selected()) {
            (Some(name), _) => name.to_owned(),
            (None, Some(name)) => name,
            (None, None) => {
                let (text, hint) = match self.operators().is_empty() {
                    true => ("there is no operator", "natterjack auth operator add NAME"),
                    false => ("no operator is selected", "natterjack auth operator select NAME"),
                };
                return Err(Failure::new(status::NOT_FOUND, "auth.not_found", text).hint(hint));
            }
        };
        let path = self.operator_path(&name)?;
        let (token, claims) = read::<Operator>(&path, "operator", &name, || self.operators())?;
        Ok(Held { store: self, name, token, claims })
    }

    pub(super) fn operator_path(&self, name: &str) -> Result<PathBuf, Failure> {
        check_name(name)?;
        Ok(self.stores.join(name).join(format!("{name}.jwt")))
    }

    /// Begins an operator.
    ///
    /// # Errors
    /// There is one of that name.
    pub(super) fn add_operator(&self, name: &str, token: &str, managed: bool) -> Outcome {
        let path = self.operator_path(name)?;
        absent(&path, "operator", name)?;
        let about = json!({"managed": managed, "name": name, "kind": "operator", "version": "1"});
        make_directory(&self.stores.join(name).join("accounts"))?;
        replace(&self.stores.join(name).join(".nsc"), &about.to_string())?;
        replace(&path, token)
    }

    fn key_path(&self, public: &str) -> PathBuf {
        let (kind, shard) = (public.get(..1), public.get(1..3));
        let directory = self.keys.join("keys").join(kind.unwrap_or("_"));
        directory.join(shard.unwrap_or("_")).join(format!("{public}.nk"))
    }

    /// Keeps a seed. Who reads the file as `nsc` does expects no newline.
    pub(super) fn keep(&self, key: &KeyPair) -> Outcome {
        replace(&self.key_path(&key.public_key()), &super::seed(key)?)
    }

    /// The pair of a public key, if its seed is here.
    pub(super) fn key(&self, public: &str) -> Option<KeyPair> {
        let text = fs::read_to_string(self.key_path(public)).ok()?;
        let key = KeyPair::from_seed(text.trim()).ok()?;
        (key.public_key() == public).then_some(key)
    }

    /// As [`key`](Self::key), for one that has to be here.
    pub(super) fn needed_key(&self, public: &str, whose: &str) -> Result<KeyPair, Failure> {
        self.key(public).ok_or_else(|| {
            let text = format!("the seed of {public} ({whose}) is not here");
            Failure::new(status::NOT_FOUND, "auth.no_seed", text)
                .hint(format!("it belongs into {}", self.key_path(public).display()))
        })
    }

    /// Forgets a seed; nothing if there is none.
    pub(super) fn forget(&self, public: &str) -> Outcome {
        remove(&self.key_path(public))
    }
}

impl Held<'_> {
    fn directory(&self) -> PathBuf {
        self.store.stores.join(&self.name).join("accounts")
    }

    /// The names of the accounts.
    pub(super) fn accounts(&self) -> Vec<String> {
        holders(&self.directory())
    }

    fn account_path(&self, name: &str) -> Result<PathBuf, Failure> {
        check_name(name)?;
        Ok(self.directory().join(name).join(format!("{name}.jwt")))
    }

    /// An account, with its token.
    pub(super) fn account(&self, name: &str) -> Result<(String, AccountClaims), Failure> {
        read::<Account>(&self.account_path(name)?, "account", name, || self.accounts())
    }

    /// Refuses an account that is there.
    pub(super) fn no_account(&self, name: &str) -> Outcome {
        absent(&self.account_path(name)?, "account", name)
    }

    pub(super) fn remove_account(&self, name: &str) -> Outcome {
        let path = self.directory().join(name);
        fs::remove_dir_all(&path).map_err(|error| Failure::io(path.display(), &error))?;
        let creds = self.store.keys.join("creds").join(&self.name).join(name);
        match fs::remove_dir_all(&creds) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Failure::io(creds.display(), &error))
            }
            _ => Ok(()),
        }
    }

    fn users_directory(&self, account: &str) -> PathBuf {
        self.directory().join(account).join("users")
    }

    /// The names of an account's users.
    pub(super) fn users(&self, account: &str) -> Vec<String> {
        tokens(&self.users_directory(account))
    }

    fn user_path(&self, account: &str, name: &str) -> Result<PathBuf, Failure> {
        check_name(account)?;
        check_name(name)?;
        Ok(self.users_directory(account).join(format!("{name}.jwt")))
    }

    /// A user, with its token.
    pub(super) fn user(&self, account: &str, name: &str) -> Result<(String, UserClaims), Failure> {
        // A misspelled account is told before the user.
        self.account(account)?;
        read::<User>(&self.user_path(account, name)?, "user", name, || self.users(account))
    }

    /// Refuses a user who is there.
    pub(super) fn no_user(&self, account: &str, name: &str) -> Outcome {
        absent(&self.user_path(account, name)?, "user", name)
    }

    pub(super) fn write_user(&self, account: &str, name: &str, token: &str) -> Outcome {
        replace(&self.user_path(account, name)?, token)
    }

    pub(super) fn remove_user(&self, account: &str, name: &str) -> Outcome {
        remove(&self.user_path(account, name)?)?;
        remove(&self.creds_path(account, name))
    }

    /// Where the credentials of a user are kept.
    pub(super) fn creds_path(&self, account: &str, name: &str) -> PathBuf {
        let directory = self.store.keys.join("creds").join(&self.name).join(account);
        directory.join(format!("{name}.creds"))
    }

    pub(super) fn write_creds(&self, account: &str, name: &str, text: &str) -> Outcome {
        replace(&self.creds_path(account, name), text)
    }

    /// The key that signs accounts: a signing key whose seed is here, else the operator's own.
    pub(super) fn signer(&self) -> Result<KeyPair, Failure> {
        let signing = &self.claims.nats.signing_keys;
        if let Some(key) = signing.iter().find_map(|public| self.store.key(public)) {
            return Ok(key);
        }
        match (self.claims.nats.strict_signing_key_usage, signing.first()) {
            (true, Some(public)) => self.store.needed_key(public, "a signing key of the operator"),
            _ => self.store.needed_key(&self.claims.sub, "the operator"),
        }
    }

    /// Signs what the operator says of itself, and keeps it.
    pub(super) fn sign_self(&mut self, now: i64) -> Outcome {
        let key = self.store.needed_key(&self.claims.sub, "the operator")?;
        self.token = self.claims.encode(&key, now).map_err(super::unsigned)?;
        replace(&self.store.operator_path(&self.name)?, &self.token)
    }

    /// Signs an account, and keeps it.
    pub(super) fn sign_account(&self, claims: &mut AccountClaims, now: i64) -> Outcome {
        let name = claims.name.clone();
        let token = claims.encode(&self.signer()?, now).map_err(super::unsigned)?;
        replace(&self.account_path(&name)?, &token)
    }
}

/// A setting that is a text, and not an empty one.
fn filled(settings: &Map<String, Value>, key: &str) -> Option<String> {
    settings.get(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A token in a file.
fn read<B: ClaimBody>(
    path: &Path,
    what: &str,
    name: &str,
    others: impl FnOnce() -> Vec<String>,
) -> Result<(String, Claims<B>), Failure> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let hint = match units::nearest(name, &others()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("natterjack auth {what} ls shows what there is"),
            };
            let text = format!("{what} {name} not found");
            return Err(Failure::new(status::NOT_FOUND, "auth.not_found", text).hint(hint));
        }
        Err(error) => return Err(Failure::io(path.display(), &error)),
    };
    let bad = |why: String| {
        let hint = match what {
            "operator" => {
                format!("{}, then natterjack auth operator import FILE", move_away(path))
            }
            _ => "take it from a backup".to_owned(),
        };
        Failure::new(status::FAILED, "auth.jwt", format!("{}: {why}", path.display())).hint(hint)
    };
    let token = find_token(&text).ok_or_else(|| bad("no token".to_owned()))?;
    let claims = decode::<B>(token).map_err(|error| bad(error.to_string()))?;
    Ok((token.to_owned(), claims))
}

/// What has to be done before another operator of that name is taken in.
pub(super) fn move_away(path: &Path) -> String {
    format!("move {} away first", path.display())
}

/// Refuses what exists.
fn absent(path: &Path, what: &str, name: &str) -> Outcome {
    match path.exists() {
        false => Ok(()),
        true => {
            let text = format!("{what} {name} exists");
            Err(Failure::new(status::CONFLICT, "auth.exists", text)
                .hint(format!("another name, or natterjack auth {what} edit")))
        }
    }
}

/// A name becomes that of a file.
fn check_name(name: &str) -> Outcome {
    let bad = name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.');
    match bad || name.chars().any(char::is_control) {
        false => Ok(()),
        true => Err(Failure::usage(format!("`{name}` is no name"))
            .hint("names hold no / and \\, and do not begin with a dot")),
    }
}

/// Names of the directories that hold a token of their own name.
fn holders(directory: &Path) -> Vec<String> {
    let has_token = |name: &String| directory.join(name).join(format!("{name}.jwt")).is_file();
    names(directory).into_iter().filter(has_token).collect()
}

/// Names of the tokens in a directory.
fn tokens(directory: &Path) -> Vec<String> {
    let plain = |name: String| Some(name.strip_suffix(".jwt")?.to_owned());
    names(directory).into_iter().filter_map(plain).collect()
}

fn names(directory: &Path) -> Vec<String> {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        files.filter_map(|file| file.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Writes a file that only its owner may read, as a whole.
pub(super) fn replace(path: &Path, text: &str) -> Outcome {
    let failed = |error: io::Error| Failure::io(path.display(), &error);
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    make_directory(parent)?;
    // A file of tempfile's is 0600 from the start.
    let mut file = tempfile::NamedTempFile::new_in(parent).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn remove(path: &Path) -> Outcome {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::io(path.display(), &error))
        }
        _ => Ok(()),
    }
}
