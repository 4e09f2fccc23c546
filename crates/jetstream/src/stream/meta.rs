//! The `_nats.*` metadata, which tells clients what a stream needs and what serves it (ADR-44).

use super::config::Config;

/// The API level that the configuration needs; the only one that is stored.
pub const REQUIRED: &str = "_nats.req.level";
const LEVEL: &str = "_nats.level";
const VERSION: &str = "_nats.ver";

/// The API level of this server, as `nats-server` 2.15 counts it.
pub const API_LEVEL: u64 = 5;

/// Replaces what clients may not say about levels: what the configuration needs is stored, what
/// the server is comes and goes with the answers.
pub fn stamp(config: &mut Config) {
    config.metadata.remove(LEVEL);
    config.metadata.remove(VERSION);
    config.metadata.insert(REQUIRED.to_owned(), config.required_level().to_string());
}

/// The configuration as create, update and info answers show it; lists show it as stored.
pub fn shown(config: &Config, server_version: &str) -> Config {
    let mut shown = config.clone();
    shown.metadata.insert(LEVEL.to_owned(), API_LEVEL.to_string());
    shown.metadata.insert(VERSION.to_owned(), server_version.to_owned());
    shown
}
