//! `natterjack object put`.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context as Task, Poll};

use async_nats::jetstream::object_store::ObjectMetadata;
use clap::Args;
use tokio::io::{AsyncRead, ReadBuf};

use super::{Bucket, failed, list};
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

impl Put {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let file = self.file.as_deref().filter(|file| *file != Path::new("-"));
        let name = self.name(file)?;
        let source = Source::open(file).await?;
        let bucket = Bucket::open(context, &self.bucket).await?;
        let meta = self.meta(&name, &bucket)?;
        if bucket.store.info(&name).await.is_ok_and(|info| !info.deleted) {
            let question = format!("Replace existing file {} > {name}", self.bucket);
            prompt::confirm(&question, self.force)?;
        }
        let bar = Bar::new(context.out, format!("Storing {name}"), source.size, !self.no_progress);
        let mut metered = Metered { inner: source.reader, bar };
        let stored = bucket.store.put(meta, &mut metered).await;
        metered.bar.finish();
        let info = stored.map_err(failed)?;
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

    fn meta(&self, name: &str, bucket: &Bucket) -> Result<ObjectMetadata, Failure> {
        let mut headers = async_nats::HeaderMap::new();
        for header in &self.headers {
            let bad = || Failure::usage(format!("header `{header}` is not of the form Key:Value"));
            let (key, value) = header.split_once(':').ok_or_else(bad)?;
            let key: async_nats::HeaderName = key.trim().parse().map_err(|_| bad())?;
            let value: async_nats::HeaderValue = value.trim().parse().map_err(|_| bad())?;
            headers.append(key, value);
        }
        let chunk_size = match self.chunk_size {
            None => None,
            Some(size) => {
                let most = bucket.connector.raw()?.server_info().max_payload;
                let size = usize::try_from(size).unwrap_or(0);
                if size == 0 || size > most {
                    let most = units::size(most as u64);
                    let text = format!("--chunk-size must be from 1 to {most}, the server's limit");
                    return Err(Failure::usage(text));
                }
                Some(size)
            }
        };
        Ok(ObjectMetadata {
            name: name.to_owned(),
            description: self.description.clone(),
            chunk_size,
            metadata: metadata(&self.metadata)?
                .into_iter()
                .map(|(key, value)| (key, value.as_str().unwrap_or_default().to_owned()))
                .collect(),
            headers: (!self.headers.is_empty()).then_some(headers),
        })
    }
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
