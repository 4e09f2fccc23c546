//! A connection within the process: two lanes of bytes instead of a socket.
//!
//! Each lane has one lock, a leaf, held while bytes are copied. What does not fit a lane waits in the
//! connection's outbox, as with a socket.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a lane holds.
const LANE_BYTES: usize = 64 * 1024;

/// One direction.
#[derive(Default)]
struct Lane(Mutex<Bytes>);

#[derive(Default)]
struct Bytes {
    waiting: VecDeque<u8>,
    is_closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing more comes; what waits can still be read.
    fn close(&self) {
        let mut bytes = self.lock();
        bytes.is_closed = true;
        let wakers = [bytes.reader.take(), bytes.writer.take()];
        drop(bytes);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    fn poll_read(&self, context: &mut Context<'_>, target: &mut ReadBuf<'_>) -> Poll<()> {
        let mut bytes = self.lock();
        if bytes.waiting.is_empty() {
            if bytes.is_closed {
                return Poll::Ready(());
            }
            bytes.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let (front, _) = bytes.waiting.as_slices();
        let count = front.len().min(target.remaining());
        target.put_slice(&front[..count]);
        bytes.waiting.drain(..count);
        if bytes.waiting.is_empty() {
            // An idle connection holds no buffer.
            bytes.waiting = VecDeque::new();
        }
        let writer = bytes.writer.take();
        drop(bytes);
        if let Some(writer) = writer {
            writer.wake();
        }
        Poll::Ready(())
    }

    /// Takes what fits.
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut bytes = self.lock();
        if bytes.is_closed {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let mut taken = 0;
        for slice in slices {
            let room = LANE_BYTES - bytes.waiting.len();
            let piece = &slice[..slice.len().min(room)];
            bytes.waiting.extend(piece);
            taken += piece.len();
            if piece.len() < slice.len() {
                break;
            }
        }
        let reader = bytes.reader.take();
        drop(bytes);
        if let Some(reader) = reader {
            reader.wake();
        }
        if taken == 0 && slices.iter().any(|slice| !slice.is_empty()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(taken)
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut bytes = self.lock();
        if bytes.is_closed || bytes.waiting.len() < LANE_BYTES {
            return Poll::Ready(());
        }
        bytes.writer = Some(context.waker().clone());
        Poll::Pending
    }
}

/// The server's end.
pub(crate) struct Pipe {
    from_client: Arc<Lane>,
    to_client: Arc<Lane>,
}

impl Pipe {
    /// Both ends.
    pub(crate) fn new() -> (Arc<Pipe>, InProcess) {
        let (up, down) = (Arc::new(Lane::default()), Arc::new(Lane::default()));
        let client = InProcess { from_server: down.clone(), to_server: up.clone() };
        (Arc::new(Pipe { from_client: up, to_client: down }), client)
    }

    pub(crate) fn poll_read(
        &self,
        context: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.from_client.poll_read(context, target).map(Ok)
    }

    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.to_client.write(slices)
    }

    pub(crate) async fn writable(&self) {
        poll_fn(|context| self.to_client.poll_writable(context)).await;
    }

    pub(crate) fn shut_down(&self, how: Shutdown) {
        if how != Shutdown::Write {
            self.from_client.close();
        }
        if how != Shutdown::Read {
            self.to_client.close();
        }
    }
}

// The connection may go without a word, as with the runtime that it is served by.
impl Drop for Pipe {
    fn drop(&mut self) {
        self.shut_down(Shutdown::Both);
    }
}

/// A client's end of a connection within the process, see
/// [`Server::connect_in_process`](crate::Server::connect_in_process): what is written to it the server
/// reads as from a socket. Dropping it closes the connection.
pub struct InProcess {
    from_server: Arc<Lane>,
    to_server: Arc<Lane>,
}

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InProcess")
    }
}

impl AsyncRead for InProcess {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.from_server.poll_read(context, target).map(Ok)
    }
}

impl AsyncWrite for InProcess {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.to_server.write(slices) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.to_server.poll_writable(context).is_pending() {
                        return Poll::Pending;
                    }
                }
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.to_server.close();
        Poll::Ready(Ok(()))
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.to_server.close();
        self.from_server.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_full_lane_waits_for_its_reader() {
        let (server, mut client) = Pipe::new();
        let whole = vec![7; LANE_BYTES];
        assert_eq!(
            server.try_write(&[IoSlice::new(&whole), IoSlice::new(b"x")]).unwrap(),
            whole.len()
        );
        let full = server.try_write(&[IoSlice::new(b"x")]).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        let mut read = vec![0; 10];
        let (_, count) = tokio::join!(server.writable(), client.read_exact(&mut read));
        assert_eq!((count.unwrap(), &read[..]), (10, &[7; 10][..]));
        assert_eq!(server.try_write(&[IoSlice::new(b"x")]).unwrap(), 1);
    }

    #[tokio::test]
    async fn an_end_that_is_gone_is_told() {
        let (server, mut client) = Pipe::new();
        client.write_all(b"last").await.unwrap();
        drop(client);
        let mut bytes = [0; 16];
        for expected in [&b"last"[..], b""] {
            let mut target = ReadBuf::new(&mut bytes);
            poll_fn(|context| server.poll_read(context, &mut target)).await.unwrap();
            assert_eq!(target.filled(), expected);
        }
        server.writable().await;
        let broken = server.try_write(&[IoSlice::new(b"x")]).unwrap_err();
        assert_eq!(broken.kind(), ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_server_that_is_gone_is_told() {
        let (server, mut client) = Pipe::new();
        server.try_write(&[IoSlice::new(b"last")]).unwrap();
        let waiting = async {
            let mut read = Vec::new();
            client.read_to_end(&mut read).await.unwrap();
            read
        };
        let (read, ()) = tokio::join!(waiting, async { drop(server) });
        assert_eq!(read, b"last");
        let broken = client.write_all(b"x").await.unwrap_err();
        assert_eq!(broken.kind(), ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn many_bytes_pass_both_ways_at_once() {
        let (server, client) = Pipe::new();
        let (mut read, mut write) = tokio::io::split(client);
        let sent: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
        let echo = async {
            let mut bytes = vec![0; 1000];
            loop {
                let mut target = ReadBuf::new(&mut bytes);
                poll_fn(|context| server.poll_read(context, &mut target)).await.unwrap();
                let mut rest = target.filled();
                if rest.is_empty() {
                    server.shut_down(Shutdown::Both);
                    return;
                }
                while !rest.is_empty() {
                    server.writable().await;
                    let taken = server.try_write(&[IoSlice::new(rest)]).unwrap();
                    rest = &rest[taken..];
                }
            }
        };
        let send = async {
            write.write_all(&sent).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let mut received = Vec::new();
        let (.., count) = tokio::join!(echo, send, read.read_to_end(&mut received));
        assert_eq!(count.unwrap(), sent.len());
        assert!(received == sent);
    }
}
