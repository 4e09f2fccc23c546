//! The contexts of the `nats` tool (ADR-21): `nats/context/NAME.json` below the configuration
//! directory, the selected one's name in `nats/context.txt`, the one before it in
//! `nats/previous-context.txt`. Both tools read each other's files; keys that are not known here stay.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::exit::{Failure, status};
use crate::units;

/// The keys of a context, in the order in which they are written.
pub(crate) const KEYS: [&str; 24] = [
    "description",
    "url",
    "socks_proxy",
    "token",
    "user",
    "password",
    "creds",
    "nkey",
    "cert",
    "key",
    "ca",
    "nsc",
    "jetstream_domain",
    "jetstream_api_prefix",
    "jetstream_event_prefix",
    "inbox_prefix",
    "user_jwt",
    "user_seed",
    "color_scheme",
    "tls_first",
    "windows_cert_store",
    "windows_cert_match_by",
    "windows_cert_match",
    "windows_ca_certs_match",
];

/// A context's file.
pub(crate) type Settings = Map<String, Value>;

/// The names of all of them; none if they cannot be read.
pub(crate) fn names() -> Vec<String> {
    Contexts::open().map(|contexts| contexts.names()).unwrap_or_default()
}

/// The directory that holds them.
pub(crate) struct Contexts {
    directory: PathBuf,
}

impl Contexts {
    /// `$XDG_CONFIG_HOME/nats`, or `~/.config/nats`.
    pub(crate) fn open() -> Result<Self, Failure> {
        let set = |name| std::env::var_os(name).filter(|text| !text.is_empty()).map(PathBuf::from);
        let base = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
        match base {
            Some(base) => Ok(Self { directory: base.join("nats") }),
            None => Err(Failure::usage("contexts need HOME or XDG_CONFIG_HOME")),
        }
    }

    /// Their names, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let files = fs::read_dir(self.directory.join("context")).into_iter().flatten().flatten();
        let names = files.filter_map(|file| {
            let name = file.file_name().into_string().ok()?;
            Some(name.strip_suffix(".json")?.to_owned())
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// The file of a context. What ends in `.json` is a path already.
    ///
    /// # Errors
    /// The name would leave the directory.
    pub(crate) fn path(&self, name: &str) -> Result<PathBuf, Failure> {
        if name.ends_with(".json") {
            return Ok(PathBuf::from(name));
        }
        if name.is_empty() || name.contains(['/', '\\']) || name.contains("..") {
            let text = format!("`{name}` is no context name: it may not hold / \\ or ..");
            return Err(Failure::usage(text));
        }
        Ok(self.directory.join("context").join(format!("{name}.json")))
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path(name).is_ok_and(|path| path.is_file())
    }

    /// Reads a context.
    ///
    /// # Errors
    /// There is none of that name (with the nearest one that there is); it is not a JSON object.
    pub(crate) fn read(&self, name: &str) -> Result<Settings, Failure> {
        let path = self.path(name)?;
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(self.missing(name)),
            Err(error) => return Err(Failure::io(path.display(), &error)),
        };
        parse(&text).map_err(|why| {
            Failure::new(status::FAILED, "context.bad", format!("{}: {why}", path.display()))
        })
    }

    fn missing(&self, name: &str) -> Failure {
        let hint = match units::nearest(name, &self.names()) {
            Some(near) => format!("did you mean {near}?"),
            None => "natterjack context ls shows the contexts".to_owned(),
        };
        let text = format!("context {name} not found");
        Failure::new(status::NOT_FOUND, "context.not_found", text).hint(hint)
    }

    /// Writes a context: the file 0600, its directory 0700, replaced as a whole.
    pub(crate) fn write(&self, name: &str, settings: &Settings) -> Result<PathBuf, Failure> {
        let path = self.path(name)?;
        let mut text = serde_json::to_string_pretty(settings).expect("a map of JSON encodes");
        text.push('\n');
        self.replace(&path, &text)?;
        Ok(path)
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), Failure> {
        let path = self.path(name)?;
        fs::remove_file(&path).map_err(|error| Failure::io(path.display(), &error))
    }

    /// The name of the selected context.
    pub(crate) fn selected(&self) -> Option<String> {
        self.name_in("context.txt")
    }

    /// The name of the one that was selected before.
    pub(crate) fn previous(&self) -> Option<String> {
        self.name_in("previous-context.txt")
    }

    fn name_in(&self, file: &str) -> Option<String> {
        let name = fs::read_to_string(self.directory.join(file)).ok()?;
        Some(name.trim().to_owned()).filter(|name| !name.is_empty())
    }

    /// Selects a context that exists, and remembers the one before.
    pub(crate) fn select(&self, name: &str) -> Result<(), Failure> {
        self.read(name)?;
        let before = self.selected();
        if before.as_deref() == Some(name) {
            return Ok(());
        }
        self.replace(&self.directory.join("context.txt"), name)?;
        match before {
            Some(before) => self.replace(&self.directory.join("previous-context.txt"), &before),
            None => Ok(()),
        }
    }

    /// Selects none; the one that was comes back with `previous`.
    pub(crate) fn unselect(&self) -> Result<Option<String>, Failure> {
        let Some(before) = self.selected() else { return Ok(None) };
        let file = self.directory.join("context.txt");
        fs::remove_file(&file).map_err(|error| Failure::io(file.display(), &error))?;
        self.replace(&self.directory.join("previous-context.txt"), &before)?;
        Ok(Some(before))
    }

    fn replace(&self, path: &Path, text: &str) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::io(path.display(), &error);
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        make_private(&self.directory).map_err(failed)?;
        if parent.starts_with(&self.directory) {
            make_private(parent).map_err(failed)?;
        }
        // A file of tempfile's is 0600 from the start.
        let mut file = tempfile::NamedTempFile::new_in(parent).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

/// A context's text as an object.
pub(crate) fn parse(text: &str) -> Result<Settings, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(settings)) => Ok(settings),
        Ok(_) => Err("not an object".to_owned()),
        Err(error) => Err(format!("line {}: not valid JSON", error.line())),
    }
}

fn make_private(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selected_and_the_one_before_are_remembered() {
        let home = tempfile::tempdir().unwrap();
        let contexts = Contexts { directory: home.path().join("nats") };
        let settings = parse(r#"{"url":"nats://h:1","later":[1]}"#).unwrap();
        for name in ["one", "two"] {
            contexts.write(name, &settings).unwrap();
        }
        assert_eq!(contexts.names(), ["one", "two"]);
        assert_eq!(contexts.read("one").unwrap(), settings);
        contexts.select("one").unwrap();
        contexts.select("two").unwrap();
        contexts.select("two").unwrap();
        assert_eq!(contexts.selected().as_deref(), Some("two"));
        assert_eq!(contexts.previous().as_deref(), Some("one"));
        assert_eq!(contexts.unselect().unwrap().as_deref(), Some("two"));
        assert_eq!((contexts.selected(), contexts.previous()), (None, Some("two".to_owned())));
        assert!(contexts.read("tow").unwrap_err().hint.contains("two"));
        assert!(contexts.select("three").is_err());
        for name in ["", "a/b", "..", "a\\b"] {
            assert!(contexts.path(name).is_err(), "{name}");
        }
    }
}
