//! The monitoring port.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::hub::Hub;

pub(crate) async fn serve(_hub: Arc<Hub>, _listener: TcpListener, _stop: watch::Receiver<bool>) {}
