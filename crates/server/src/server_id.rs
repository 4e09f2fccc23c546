//! Who the server is: keys made at each start, and its name.

use nkeys::{KeyPair, XKey};

/// The identity of a running server.
pub(crate) struct ServerId {
    /// `N…`, 56 characters.
    pub(crate) public_key: String,
    /// Signs what the server says of clients.
    pub(crate) key: KeyPair,
    /// `X…`, 56 characters.
    pub(crate) xkey: String,
    /// Seals it for whom it is meant.
    pub(crate) curve: XKey,
    /// The configured name, or the public key.
    pub(crate) name: String,
}

impl ServerId {
    pub(crate) fn new(name: Option<&str>) -> Self {
        let (key, curve) = (KeyPair::new_server(), XKey::new());
        let public_key = key.public_key();
        let name = name.filter(|name| !name.is_empty()).unwrap_or(&public_key).to_owned();
        ServerId { xkey: curve.public_key(), key, curve, public_key, name }
    }
}
