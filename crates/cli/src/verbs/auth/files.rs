//! Files and directories that only their owner may read.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use crate::exit::{Failure, Outcome};

/// Makes a directory (0700) with those above it. One that exists keeps its mode.
pub(super) fn make_directory(path: &Path) -> Outcome {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| Failure::io(path.display(), &error))
}

/// Writes a file (0600), which must be new.
pub(super) fn write_private(path: &Path, text: &str) -> Outcome {
    write_private_bytes(path, text.as_bytes())
}

/// As [`write_private`], for what may be no text.
pub(super) fn write_private_bytes(path: &Path, bytes: &[u8]) -> Outcome {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(|error| Failure::io(path.display(), &error))
}
