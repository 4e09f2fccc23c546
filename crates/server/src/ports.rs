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
}

impl Ports {
    /// What INFO shows: `client_advertise`, or the listener.
    pub(crate) fn advertised(&self, options: &Options) -> (String, u16) {
        let bound = self.client.map_or(0, |address| address.port());
        if let Some(advertise) = options.client_advertise.as_deref().filter(|text| !text.is_empty())
        {
            return match advertise.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()))
            {
                Some((host, Ok(port))) => (host.to_owned(), if port == 0 { bound } else { port }),
                _ => (advertise.to_owned(), bound),
            };
        }
        let host = self.client.map_or_else(String::new, |address| address.ip().to_string());
        (host, bound)
    }
}
