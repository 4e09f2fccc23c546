//! Where the server listens, once it does.

use std::net::SocketAddr;

use natterjack_config::Options;

/// The bound addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ports {
    /// Clients.
    pub(crate) client: Option<SocketAddr>,
    /// Monitoring by HTTP.
    pub(crate) monitor: Option<SocketAddr>,
    /// Monitoring by HTTPS.
    pub(crate) secure_monitor: Option<SocketAddr>,
    /// Clients by WebSocket.
    pub(crate) websocket: Option<SocketAddr>,
}

impl Ports {
    /// What INFO shows: `client_advertise`, or the listener.
    pub(crate) fn advertised(&self, options: &Options) -> (String, u16) {
        shown(self.client, options.client_advertise.as_deref())
    }

    /// The same for WebSocket clients.
    pub(crate) fn advertised_websocket(&self, options: &Options) -> (String, u16) {
        let advertise = options.websocket.as_ref().and_then(|ws| ws.advertise.as_deref());
        shown(self.websocket, advertise)
    }
}

fn shown(address: Option<SocketAddr>, advertise: Option<&str>) -> (String, u16) {
    let bound = address.map_or(0, |address| address.port());
    if let Some(advertise) = advertise.filter(|text| !text.is_empty()) {
        return match advertise.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>())) {
            Some((host, Ok(port))) => (host.to_owned(), if port == 0 { bound } else { port }),
            _ => (advertise.to_owned(), bound),
        };
    }
    let host = address.map_or_else(String::new, |address| address.ip().to_string());
    (host, bound)
}
