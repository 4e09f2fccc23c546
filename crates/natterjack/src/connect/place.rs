//! Where a context (ADR-21) keeps a credential: in itself, in a file, or elsewhere.
//!
//! `file://PATH`, `env://NAME`, `data:;base64,..`, and `nsc://OPERATOR/ACCOUNT/USER`, which is read
//! from the files of nsc directly. `op://` needs another program and is refused.

use std::path::{Path, PathBuf};

use base64::Engine as _;

use crate::secret::Secret;

type Var<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A credential that is many lines long: the file that holds it, or itself.
pub(super) enum Place {
    File(PathBuf),
    Text(Secret),
}

impl Place {
    /// What is no place of another kind is a path.
    pub(super) fn of(text: &str, var: Var<'_>) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("file://") {
            return Ok(Self::File(expand(path, var).into()));
        }
        if let Some(user) = text.strip_prefix("nsc://") {
            return nsc(user, var).map(Self::File);
        }
        if text.starts_with("env://") || text.starts_with("data:") {
            return fetch(text, var).map(|text| Self::Text(text.into()));
        }
        refuse(text)?;
        Ok(Self::File(expand(text, var).into()))
    }
}

/// A credential of one line, wherever it stands.
pub(super) fn fetch(text: &str, var: Var<'_>) -> Result<String, String> {
    if let Some(path) = text.strip_prefix("file://") {
        let path = expand(path, var);
        return std::fs::read_to_string(Path::new(&path))
            .map(|content| content.trim().to_owned())
            .map_err(|error| format!("{path}: {error}"));
    }
    if let Some(name) = text.strip_prefix("env://") {
        return var(name).ok_or_else(|| format!("variable {name} is not set"));
    }
    if let Some(data) = text.strip_prefix("data:") {
        let data = data.strip_prefix(";base64,").ok_or("`data:` takes `;base64,` only")?;
        return base64::engine::general_purpose::STANDARD
            .decode(data.trim())
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .map(|content| content.trim().to_owned())
            .ok_or_else(|| "what follows `data:;base64,` is no text in base64".to_owned());
    }
    if text.starts_with("nsc://") {
        return Err("`nsc://` names credentials; write it under `creds`".to_owned());
    }
    refuse(text)?;
    Ok(text.to_owned())
}

fn refuse(text: &str) -> Result<(), String> {
    match text.starts_with("op://") {
        true => Err("`op://` is not supported here; use env:// or a file".to_owned()),
        false => Ok(()),
    }
}

/// The credentials file of a user in the store of nsc.
fn nsc(user: &str, var: Var<'_>) -> Result<PathBuf, String> {
    let parts: Vec<&str> = user.split('/').collect();
    let plain = |part: &&str| !part.is_empty() && *part != ".." && !part.contains('\\');
    let [operator, account, name] = parts[..] else {
        return Err(format!("`nsc://{user}` is not of the form nsc://OPERATOR/ACCOUNT/USER"));
    };
    if !parts.iter().all(plain) {
        return Err(format!("`nsc://{user}` is not of the form nsc://OPERATOR/ACCOUNT/USER"));
    }
    let get = |name: &str| var(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    let home = get("HOME").unwrap_or_default();
    let data = get("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share"));
    // The keys' directory: named, of today, and of old.
    let keys = [get("NKEYS_PATH"), Some(data.join("nats/nsc/keys")), Some(home.join(".nkeys"))];
    let files = keys
        .into_iter()
        .flatten()
        .map(|keys| keys.join("creds").join(operator).join(account).join(format!("{name}.creds")));
    let files: Vec<PathBuf> = files.collect();
    match files.iter().find(|file| file.is_file()) {
        Some(file) => Ok(file.clone()),
        None => {
            let tried: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            Err(format!("no credentials of nsc for {user}: tried {}", tried.join(", ")))
        }
    }
}

/// `~` and `$VAR` or `${VAR}` in a path.
pub(super) fn expand(text: &str, var: Var<'_>) -> String {
    let text = match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            format!("{}{rest}", var("HOME").unwrap_or_default())
        }
        _ => text.to_owned(),
    };
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, tail) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some(found) => found,
            None => after.split_at(
                after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len()),
            ),
        };
        out.push_str(&var(name).unwrap_or_default());
        rest = tail;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_expanded() {
        let var = |name: &str| (name == "HOME").then(|| "/h".to_owned());
        for (text, want) in [
            ("~/a", "/h/a"),
            ("$HOME/a", "/h/a"),
            ("${HOME}x", "/hx"),
            ("/a~b", "/a~b"),
            ("~x/a", "~x/a"),
        ] {
            assert_eq!(expand(text, &var), want);
        }
    }

    #[test]
    fn credentials_are_found_where_they_are_kept() {
        let home = tempfile::tempdir().unwrap();
        let creds = home.path().join("keys/creds/OP/ACC");
        std::fs::create_dir_all(&creds).unwrap();
        std::fs::write(creds.join("me.creds"), "x").unwrap();
        let keys = home.path().join("keys").to_str().unwrap().to_owned();
        let var = move |name: &str| match name {
            "NKEYS_PATH" => Some(keys.clone()),
            "SEED" => Some("SUA".to_owned()),
            _ => None,
        };
        let file = |text: &str| match Place::of(text, &var) {
            Ok(Place::File(path)) => Ok(path),
            Ok(Place::Text(text)) => Err(format!("text {}", text.reveal())),
            Err(why) => Err(why),
        };
        assert_eq!(file("/u.creds").unwrap(), Path::new("/u.creds"));
        assert_eq!(file("file:///u.creds").unwrap(), Path::new("/u.creds"));
        assert_eq!(file("nsc://OP/ACC/me").unwrap(), creds.join("me.creds"));
        assert_eq!(file("env://SEED").unwrap_err(), "text SUA");
        assert_eq!(file("data:;base64,U1VB").unwrap_err(), "text SUA");
        for bad in ["nsc://OP/ACC", "nsc://OP/../me", "nsc://OP/ACC/you", "op://a/b", "data:x"] {
            let why = file(bad).unwrap_err();
            assert!(!why.starts_with("text"), "{bad}: {why}");
        }
    }
}
