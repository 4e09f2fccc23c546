//! Who the server is: keys made at each start, and its name.

use nkeys::{KeyPair, XKey};

/// The identity of a running server.
pub(crate) struct ServerId {
    /// `N…`, 56 characters.
    pub(crate) public_key: String,
    /// `X…`, 56 characters.
    pub(crate) xkey: String,
    /// The configured name, or the public key.
    pub(crate) name: String,
}

impl ServerId {
    pub(crate) fn new(name: Option<&str>) -> Self {
        let public_key = KeyPair::new_server().public_key();
        let name = name.filter(|name| !name.is_empty()).unwrap_or(&public_key).to_owned();
        ServerId { xkey: XKey::new().public_key(), public_key, name }
    }
}
