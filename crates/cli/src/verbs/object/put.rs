//! `natterjack object put`.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context as Task, Poll};

use clap::Args;
use natterjack::error::ObjectError;
use natterjack::{ByteSize, kib};
use tokio::io::{AsyncRead, ReadBuf};

use super::{Bucket, list};
use crate::complete;
use crate::connect::Context;
use crate::exit::{Failure, Outcome};
use crate::progress::Bar;
use crate::prompt;
use crate::units;
use crate::verbs::stream::metadata;

/// Store a file.
#[derive(Debug, Args)]
pub(crate) struct Put {
    /// Name of the bucket
    #[arg(add = complete::object_buckets())]
    bucket: String,
    /// The file; without one, or for `-`, standard input
    #[arg(required_unless_present = "name")]
    file: Option<PathBuf>,
    /// Store it under another name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Text for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Header, may be given several times
    #[arg(short = 'H', long = "header", value_name = "KEY:VALUE")]
    headers: Vec<String>,
    /// Key and value for people, may be given several times
    #[arg(long, value_name = "KEY:VALUE")]
    metadata: Vec<String>,
    /// Bytes of one message (128K)
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size)]
    chunk_size: Option<i64>,
    /// Without progress bar
    #[arg(long)]
    no_progress: bool,
    /// Replace a file of that name without asking
    #[arg(short, long)]
    force: bool,
}

/// The usual size of a piece (ADR-20).
const CHUNK: ByteSize = kib(128);

impl Put {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let file = self.file.as_deref().filter(|file| *file != Path::new("-"));
        let name = self.name(file)?;
        let source = Source::open(file).await?;
        let bucket = Bucket::open(context, &self.bucket).await?;
        match bucket.objects.info(&name).await {
            Ok(_) => {
                let question = format!("Replace existing file {} > {name}", self.bucket);
                prompt::confirm(&question, self.force)?;
            }
            Err(ObjectError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let bar = Bar::new(context.out, format!("Storing {name}"), source.size, !self.no_progress);
        let mut metered = Metered { inner: source.reader, bar };
        let mut put = bucket.objects.put(&name, &mut metered).chunk(self.chunk(&bucket)?);
        for (header, value) in pairs(&self.headers)? {
            put = put.header(&header, value);
        }
        for (key, value) in metadata(&self.metadata)? {
            put = put.metadata(key, value.as_str().unwrap_or_default());
        }
        if let Some(text) = &self.description {
            put = put.description(text);
        }
        // What cannot be stored as a whole is removed again.
        let stored = put.send().await;
        metered.bar.finish();
        stored?;
        let info = bucket.find(&name).await?;
        bucket.close().await?;
        list::show_object(context, &info);
        Ok(())
    }

    /// What the file is called in the bucket.
    fn name(&self, file: Option<&Path>) -> Result<String, Failure> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let name = file.and_then(Path::file_name).and_then(|name| name.to_str());
        name.map(str::to_owned).ok_or_else(|| {
            Failure::usage("what comes from standard input needs a name").hint("--name NAME")
        })
    }

    /// Bytes of one message: no more than the server takes.
    fn chunk(&self, bucket: &Bucket) -> Result<ByteSize, Failure> {
        let most = bucket.connector.raw()?.server_info().max_payload as u64;
        let Some(size) = self.chunk_size else { return Ok(CHUNK.min(ByteSize::new(most))) };
        match u64::try_from(size) {
            Ok(size) if size > 0 && size <= most => Ok(ByteSize::new(size)),
            _ => {
                let most = units::size(most);
                let text = format!("--chunk-size must be from 1 to {most}, the server's limit");
                Err(Failure::usage(text))
            }
        }
    }
}

/// Headers, taken apart.
fn pairs(headers: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let pair = |header: &String| {
        let bad = || Failure::usage(format!("header `{header}` is not of the form Key:Value"));
        let (key, value) = header.split_once(':').ok_or_else(bad)?;
        Ok((key.trim().to_owned(), value.trim().to_owned()))
    };
    headers.iter().map(pair).collect()
}

/// Where a file comes from.
struct Source {
    reader: Box<dyn AsyncRead + Send + Unpin>,
    /// Bytes; 0 is not known.
    size: u64,
}

impl Source {
    async fn open(file: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = file else {
            return Ok(Self { reader: Box::new(tokio::io::stdin()), size: 0 });
        };
        let bad = |error: std::io::Error| Failure::io(path.display(), &error);
        let file = tokio::fs::File::open(path).await.map_err(bad)?;
        let data = file.metadata().await.map_err(bad)?;
        if data.is_dir() {
            return Err(Failure::usage(format!("{} is a directory", path.display())));
        }
        Ok(Self { reader: Box::new(file), size: data.len() })
    }
}

/// A reader that tells a bar what was read.
pub(super) struct Metered<R> {
    pub(super) inner: R,
    pub(super) bar: Bar,
}

impl<R: AsyncRead + Unpin> AsyncRead for Metered<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut Task<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.inner).poll_read(task, buffer);
        if let Poll::Ready(Ok(())) = &read {
            this.bar.add(buffer.filled().len() - before);
        }
        read
    }
}
