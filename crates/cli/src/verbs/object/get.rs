//! `natterjack object get`: a file appears only when it is whole and its digest is right.

use std::io;
use std::path::{Path, PathBuf};

use async_nats::jetstream::object_store::Object;
use clap::Args;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Bucket, failed};
use crate::complete;
use crate::connect::Context;
use crate::exit::{Failure, Outcome, status};
use crate::progress::Bar;
use crate::prompt;
use crate::units;

/// Fetch a file.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Name of the bucket
    #[arg(add = complete::object_buckets())]
    bucket: String,
    /// Name of the file
    file: String,
    /// Where to write it; `-` is standard output
    #[arg(short = 'O', long = "out", value_name = "FILE")]
    target: Option<PathBuf>,
    /// Without progress bar
    #[arg(long)]
    no_progress: bool,
    /// Replace a file that is there without asking
    #[arg(short, long)]
    force: bool,
}

/// Bytes that are copied at a time.
const PIECE: usize = 64 * 1024;

impl Get {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let out = context.out;
        let bucket = Bucket::open(context, &self.bucket).await?;
        let info = bucket.find(&self.file).await?;
        let to_stdout = self.target.as_deref() == Some(Path::new("-"));
        // Of a name with directories in it only the last part: nothing is written elsewhere.
        let target = match &self.target {
            Some(target) => target.clone(),
            None => match Path::new(&self.file).file_name() {
                Some(name) => PathBuf::from(name),
                None => {
                    let text = format!("{} is no name for a file here", self.file);
                    return Err(Failure::usage(text).hint("-O FILE"));
                }
            },
        };
        if !to_stdout && target.exists() {
            prompt::confirm(&format!("Replace existing file {}", target.display()), self.force)?;
        }
        let prefix = context.jetstream(&bucket.connector).prefix().to_owned();
        let jetstream = async_nats::jetstream::with_prefix(bucket.connector.raw()?, &prefix);
        let store = jetstream.get_object_store(&self.bucket).await.map_err(failed)?;
        let object = store.get(&self.file).await.map_err(failed)?;
        let size = info.size;
        let mut bar = Bar::new(out, format!("Fetching {}", self.file), size, !self.no_progress);
        if to_stdout {
            copy(object, &mut bar, async |piece: &[u8]| {
                out.data(piece);
                Ok(())
            })
            .await?;
            bar.finish();
            return bucket.close().await;
        }
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let bad = |error: io::Error| Failure::io(target.display(), &error);
        let file =
            tempfile::NamedTempFile::new_in(parent.unwrap_or(Path::new("."))).map_err(bad)?;
        let mut writer = tokio::fs::File::from_std(file.reopen().map_err(bad)?);
        copy(object, &mut bar, async |piece: &[u8]| writer.write_all(piece).await.map_err(bad))
            .await?;
        writer.sync_all().await.map_err(bad)?;
        bar.finish();
        bucket.close().await?;
        keep_usual_mode(file.as_file()).map_err(bad)?;
        file.persist(&target).map_err(|error| bad(error.error))?;
        if out.json {
            out.object(&json!({
                "bucket": self.bucket,
                "name": self.file,
                "size": size,
                "digest": info.digest,
                "file": target.display().to_string(),
            }));
        } else {
            let size = units::size(size);
            out.say(format!("Wrote: {size} to {}", target.display()));
        }
        Ok(())
    }
}

/// Temporary files are private; what is fetched is as readable as other files.
#[cfg(unix)]
fn keep_usual_mode(file: &std::fs::File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn keep_usual_mode(_file: &std::fs::File) -> io::Result<()> {
    Ok(())
}

/// Copies a file piece by piece. The client checks the digest with the last piece.
async fn copy(
    mut object: Object,
    bar: &mut Bar,
    mut write: impl AsyncFnMut(&[u8]) -> Outcome,
) -> Outcome {
    let expected = object.info().size as u64;
    let mut piece = vec![0; PIECE];
    loop {
        let read = object.read(&mut piece).await.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => {
                let text = "the digest does not match: the file is damaged";
                Failure::new(status::FAILED, "object.digest", text)
                    .hint("store it again; nothing was written")
            }
            _ => Failure::new(status::FAILED, "js.object", error.to_string()),
        })?;
        if read == 0 {
            break;
        }
        write(&piece[..read]).await?;
        bar.add(read);
    }
    match bar.done() == expected {
        true => Ok(()),
        false => {
            let text = format!("{} of {expected} bytes came", bar.done());
            Err(Failure::new(status::FAILED, "object.digest", text))
        }
    }
}
