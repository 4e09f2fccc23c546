//! A connection that a load balancer opened: who is behind it stands in a header of the PROXY protocol,
//! in clear, before TLS and before the client's first operation.

use std::future::poll_fn;
use std::time::Duration;

use natterjack_proto::error::ClosedReason;
use natterjack_proto::proxy::{self, Header};
use tokio::io::ReadBuf;

use super::{Connection, poll_read};
use crate::log_warn;

/// How long a header may take, as in nats-server 2.15.1. A client that sends nothing at all is gone then,
/// too: it is not to be told from a header that does not come.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What is read at a time. A header is shorter; what follows it is kept for the client.
const PIECE: usize = 512;
const _: () = assert!(PIECE > proxy::MAX_BYTES);

impl Connection {
    /// Reads the header, if there is one, and takes over what it says.
    pub(super) async fn read_proxy_header(&mut self) -> Result<(), ClosedReason> {
        let header = tokio::time::timeout(TIMEOUT, self.proxy_header()).await;
        let error = match header {
            Ok(Ok(rest)) => {
                match self.wire.tunnel() {
                    Some(tunnel) => tunnel.put_back(&rest),
                    None => self.partial = rest,
                }
                return Ok(());
            }
            Ok(Err(error)) => error,
            Err(_) => "timeout reading PROXY protocol header".to_owned(),
        };
        log_warn!(
            self.hub.log(),
            "Error reading PROXY protocol header from {}: {error}",
            self.info.peer()
        );
        Err(ClosedReason::ProtocolViolation)
    }

    /// What was read beyond the header.
    async fn proxy_header(&mut self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        loop {
            match proxy::read(&bytes).map_err(|error| error.to_string())? {
                Header::Incomplete => bytes.extend_from_slice(&self.read_piece().await?),
                Header::Absent => return Ok(bytes),
                Header::Present { source, len, mut skip } => {
                    bytes.drain(..len);
                    while skip > bytes.len() {
                        skip -= bytes.len();
                        bytes = self.read_piece().await?;
                    }
                    bytes.drain(..skip);
                    if let Some(source) = source {
                        self.info.add_fact(|facts| facts.stands_for = Some(source));
                    }
                    return Ok(bytes);
                }
            }
        }
    }

    async fn read_piece(&mut self) -> Result<Vec<u8>, String> {
        let mut piece = [0; PIECE];
        let mut target = ReadBuf::new(&mut piece);
        poll_fn(|context| poll_read(&mut self.read, &self.wire, context, &mut target))
            .await
            .map_err(|error| error.to_string())?;
        match target.filled() {
            [] => Err("EOF".into()),
            filled => Ok(filled.to_vec()),
        }
    }
}
