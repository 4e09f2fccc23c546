//! `natterjack auth nkey`: pairs of keys, signatures, sealed texts.
//!
//! A key is named by a file that holds it, never by the seed itself: other users of a machine see the
//! command lines of all.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use clap::{Args, Subcommand, ValueEnum};
use natterjack_core::jwt::{KeyKind, key_kind, parse_seed};
use nkeys::{KeyPair, KeyPairType, XKey};
use serde_json::{Map, Value, json};

use super::files::write_private;
use super::unsigned;
use crate::exit::{Failure, Outcome, status};
use crate::output::{Output, put_body};

/// Pairs of keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Nkey {
    /// Make a pair
    Gen {
        /// What it is for
        #[arg(default_value = "user")]
        kind: Kind,
        /// Write the seed into a new file that only you may read, and show the public key alone
        #[arg(short = 'O', long = "out", value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Show the public key of a seed
    Show {
        /// File with a seed, or with credentials; `-` is standard input
        file: PathBuf,
    },
    /// Sign a file
    Sign {
        /// The file; `-` is standard input
        file: PathBuf,
        /// File with the seed
        #[arg(short, long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Check the signature of a file; exits with 1 if it is not that of the key
    #[command(visible_alias = "check")]
    Verify {
        /// The file; `-` is standard input
        file: PathBuf,
        /// The signature, or a file that holds it
        // One of 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true)]
        signature: String,
        /// The public key, or a file with it or its seed
        #[arg(short, long, value_name = "KEY")]
        key: String,
    },
    /// Encrypt a file for the owner of a curve key
    Seal(Sealed),
    /// Decrypt what was sealed
    Unseal(Sealed),
}

/// A file, and between whom it goes.
#[derive(Debug, Args)]
pub(crate) struct Sealed {
    /// The file; `-` is standard input
    file: PathBuf,
    /// File with the seed of one's own curve key (SX…)
    #[arg(short, long, value_name = "FILE")]
    key: PathBuf,
    /// Public curve key of the other side: who is to read it, or who has sealed it
    #[arg(short, long, value_name = "KEY", visible_aliases = ["recipient", "sender"])]
    peer: String,
    /// Write it into a new file that only you may read
    #[arg(short = 'O', long = "out", value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What a pair is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Operator,
    Account,
    User,
    #[value(alias = "node")]
    Server,
    Cluster,
    /// To seal, and not to sign
    #[value(aliases = ["x", "xkey"])]
    Curve,
}

impl Kind {
    fn of(public: &str) -> Option<Self> {
        Some(match key_kind(public)? {
            KeyKind::Operator => Self::Operator,
            KeyKind::Account => Self::Account,
            KeyKind::User => Self::User,
            KeyKind::Server => Self::Server,
            KeyKind::Cluster => Self::Cluster,
            KeyKind::Curve => Self::Curve,
            _ => return None,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Account => "account",
            Self::User => "user",
            Self::Server => "server",
            Self::Cluster => "cluster",
            Self::Curve => "curve",
        }
    }

    /// Seed and public key of a new pair.
    fn make(self) -> Result<(String, String), Failure> {
        let kind = match self {
            Self::Operator => KeyPairType::Operator,
            Self::Account => KeyPairType::Account,
            Self::User => KeyPairType::User,
            Self::Server => KeyPairType::Server,
            Self::Cluster => KeyPairType::Cluster,
            Self::Curve => {
                let pair = XKey::new();
                return Ok((pair.seed().map_err(bad_key)?, pair.public_key()));
            }
        };
        let pair = KeyPair::new(kind);
        Ok((super::seed(&pair)?, pair.public_key()))
    }
}

impl Nkey {
    pub(super) fn run(self, out: Output) -> Outcome {
        match self {
            Self::Gen { kind, file } => make(out, kind, file.as_deref()),
            Self::Show { file } => show(out, &file),
            Self::Sign { file, key } => sign(out, &file, &key),
            Self::Verify { file, signature, key } => verify(out, &file, &signature, &key),
            Self::Seal(verb) => verb.seal(out),
            Self::Unseal(verb) => verb.unseal(out),
        }
    }
}

fn make(out: Output, kind: Kind, file: Option<&Path>) -> Outcome {
    let (seed, public) = kind.make()?;
    if let Some(file) = file {
        write_private(file, &format!("{seed}\n"))?;
    }
    if out.json {
        let mut object = json!({"kind": kind.word(), "public": public});
        match file {
            Some(file) => object["file"] = json!(file),
            None => object["seed"] = seed.into(),
        }
        out.document(&object);
        return Ok(());
    }
    if file.is_none() {
        out.line(seed);
    }
    out.line(public);
    Ok(())
}

fn show(out: Output, file: &Path) -> Outcome {
    let seed = seed_in(file)?;
    let public = match seed.starts_with("SX") {
        true => XKey::from_seed(&seed).map_err(bad_key)?.public_key(),
        false => KeyPair::from_seed(&seed).map_err(bad_key)?.public_key(),
    };
    match out.json {
        true => out.document(&json!({"kind": Kind::of(&public).map(Kind::word), "public": public})),
        false => out.line(public),
    }
    Ok(())
}

fn sign(out: Output, file: &Path, key: &Path) -> Outcome {
    let seed = seed_in(key)?;
    if seed.starts_with("SX") {
        return Err(Failure::usage("a curve key does not sign")
            .hint("natterjack auth nkey seal, or a key of another kind"));
    }
    let pair = KeyPair::from_seed(&seed).map_err(bad_key)?;
    let signature = pair.sign(&content(file)?).map_err(bad_key)?;
    let signature = URL_SAFE_NO_PAD.encode(signature);
    match out.json {
        true => out.document(&json!({"public": pair.public_key(), "signature": signature})),
        false => out.line(signature),
    }
    Ok(())
}

fn verify(out: Output, file: &Path, signature: &str, key: &str) -> Outcome {
    let public = match key_kind(key.trim()) {
        Some(_) => key.trim().to_owned(),
        None => public_in(Path::new(key))?,
    };
    let text = match Path::new(signature).is_file() {
        true => text_of(&content(Path::new(signature))?, signature)?,
        false => signature.to_owned(),
    };
    let bytes = base64_of(text.trim())
        .ok_or_else(|| Failure::usage("the signature is not base64").hint("nkey sign writes it"))?;
    let pair = KeyPair::from_public_key(&public).map_err(bad_key)?;
    if pair.verify(&content(file)?, &bytes).is_err() {
        let text = format!("this is not the signature of {public} for {}", file.display());
        return Err(Failure::new(status::FAILED, "auth.signature", text)
            .hint("another key, or the file is not what was signed"));
    }
    match out.json {
        true => out.document(&json!({"public": public, "verified": true})),
        false => out.line(format!("Verified: signed by {public}")),
    }
    Ok(())
}

impl Sealed {
    /// Both sides' keys.
    fn keys(&self) -> Result<(XKey, XKey), Failure> {
        let hint = "natterjack auth nkey gen curve";
        let seed = seed_in(&self.key)?;
        let own = XKey::from_seed(&seed).map_err(|_| {
            Failure::usage(format!("{} holds no curve key", self.key.display())).hint(hint)
        })?;
        let peer = XKey::from_public_key(self.peer.trim()).map_err(|_| {
            Failure::usage(format!("`{}` is no public curve key", self.peer)).hint(hint)
        })?;
        Ok((own, peer))
    }

    fn seal(&self, out: Output) -> Outcome {
        let (own, peer) = self.keys()?;
        let sealed = own.seal(&content(&self.file)?, &peer).map_err(bad_key)?;
        let text = STANDARD.encode(sealed);
        match (&self.out, out.json) {
            (Some(file), _) => {
                write_private(file, &format!("{text}\n"))?;
                self.wrote(out, file, &own);
            }
            (None, true) => out.document(&json!({"sender": own.public_key(), "sealed": text})),
            (None, false) => out.line(text),
        }
        Ok(())
    }

    fn unseal(&self, out: Output) -> Outcome {
        let (own, peer) = self.keys()?;
        let bytes = content(&self.file)?;
        // As `seal` writes it, or the bytes themselves.
        let sealed = std::str::from_utf8(&bytes).ok().and_then(|text| base64_of(text.trim()));
        let open = own.open(&sealed.unwrap_or(bytes), &peer).map_err(|_| {
            let text = format!("{} was not sealed by that key for this one", self.file.display());
            Failure::new(status::FAILED, "auth.sealed", text)
                .hint("--peer is the public key of who has sealed it, --key one's own seed")
        })?;
        match (&self.out, out.json) {
            (Some(file), _) => {
                super::files::write_private_bytes(file, &open)?;
                self.wrote(out, file, &own);
            }
            (None, true) => {
                let mut object = Map::new();
                put_body(&mut object, &open);
                out.document(&Value::Object(object));
            }
            (None, false) => out.data(&open),
        }
        Ok(())
    }

    fn wrote(&self, out: Output, file: &Path, own: &XKey) {
        match out.json {
            true => out.document(&json!({"file": file, "public": own.public_key()})),
            false => out.say(format!("Wrote {}", file.display())),
        }
    }
}

/// Base64 of either alphabet, with or without padding.
fn base64_of(text: &str) -> Option<Vec<u8>> {
    let plain = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
    URL_SAFE_NO_PAD.decode(plain).ok()
}

/// What a file holds; `-` is standard input.
fn content(file: &Path) -> Result<Vec<u8>, Failure> {
    let read = match file.as_os_str() == "-" {
        false => std::fs::read(file),
        true => {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
        }
    };
    read.map_err(|error| Failure::io(file.display(), &error))
}

fn text_of(bytes: &[u8], name: &str) -> Result<String, Failure> {
    let text = std::str::from_utf8(bytes);
    text.map(str::to_owned).map_err(|_| Failure::usage(format!("{name} holds no text")))
}

/// The seed in a file. What is wrong with it is said without it.
fn seed_in(file: &Path) -> Result<String, Failure> {
    let text = text_of(&content(file)?, &file.display().to_string())?;
    parse_seed(&text).map_err(|error| {
        Failure::usage(format!("{}: {error}", file.display()))
            .hint("a file with a seed (S…); natterjack auth nkey gen --out FILE writes one")
    })
}

/// The public key in a file, or that of the seed there.
fn public_in(file: &Path) -> Result<String, Failure> {
    if !file.is_file() {
        let text = format!("`{}` is neither a public key nor a file", file.display());
        return Err(Failure::usage(text).hint("natterjack auth nkey show FILE"));
    }
    let text = text_of(&content(file)?, &file.display().to_string())?;
    match key_kind(text.trim()) {
        Some(_) => Ok(text.trim().to_owned()),
        None => {
            let seed = seed_in(file)?;
            Ok(KeyPair::from_seed(&seed).map_err(bad_key)?.public_key())
        }
    }
}

fn bad_key(error: nkeys::error::Error) -> Failure {
    unsigned(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, 7.1, test 2: the secret, the public key and the signature of one byte.
    const SECRET: &str = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
    const PUBLIC: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    const SIGNED: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                          085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

    fn bytes(hex: &str) -> Vec<u8> {
        data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap()
    }

    // Shows U-112.
    #[test]
    fn keys_and_signatures_are_those_of_the_published_vectors() {
        let dir = tempfile::tempdir().unwrap();
        let secret: [u8; 32] = bytes(SECRET).try_into().unwrap();
        let pair = KeyPair::new_from_raw(KeyPairType::User, secret).unwrap();
        // Prefix byte, key, CRC-16 (XMODEM) little endian, in base32: made here without the library.
        let mut raw = vec![20 << 3];
        raw.extend(bytes(PUBLIC));
        let crc = raw.iter().fold(0_u16, |crc, byte| {
            (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            })
        });
        raw.extend(crc.to_le_bytes());
        let public = data_encoding::BASE32_NOPAD.encode(&raw);
        let (seed, file) = (dir.path().join("seed"), dir.path().join("file"));
        std::fs::write(&seed, pair.seed().unwrap()).unwrap();
        std::fs::write(&file, [0x72]).unwrap();
        assert_eq!(public_in(&seed).unwrap(), public);
        let signature = pair.sign(&content(&file).unwrap()).unwrap();
        assert_eq!(signature, bytes(SIGNED));
        // Either alphabet is read.
        for text in [STANDARD.encode(&signature), URL_SAFE_NO_PAD.encode(&signature)] {
            assert_eq!(base64_of(&text).unwrap(), signature);
        }
    }

    // Shows U-112.
    #[test]
    fn a_seed_is_not_repeated_in_a_complaint() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("seed");
        let seed = super::super::seed(&KeyPair::new_user()).unwrap();
        std::fs::write(&file, format!("{}X", &seed[..57])).unwrap();
        let failure = seed_in(&file).unwrap_err();
        assert!(!format!("{failure:?}").contains(&seed[..20]), "{failure:?}");
    }
}
