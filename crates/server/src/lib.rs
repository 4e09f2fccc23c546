//! The NATS server: sockets, timers, threads, and the embeddable handle.
//!
//! A server inside any program, on a free port of the loopback address:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use natterjack_server::Server;
//!
//! let server = Server::builder().jetstream_in_memory().start().await?;
//! println!("clients connect to {}", server.client_url());
//! server.shutdown().await;
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! The server runs on threads of its own, so a caller that blocks its runtime does not freeze it. A panic on
//! one of them stops the server, not the program: see [`Server::panicked`].
//! Decisions are made in the pure crates below; this crate performs their effects and decides nothing
//! about messages. [`run`] is the whole of `natterjack serve`.

mod accounts;
mod ask;
mod builder;
mod callout;
mod clock;
mod closed;
mod connection;
mod connection_info;
mod deadlines;
mod disk;
mod disk_memory;
#[cfg(test)]
mod disk_tests;
mod files;
mod hub;
mod interest;
mod jetstream;
mod keep_alive;
mod listener;
pub mod log;
mod login;
mod logins;
mod monitor;
mod operator;
mod pace;
#[cfg(test)]
mod panic_tests;
mod ports;
mod process;
mod program;
mod reload;
mod resolver;
pub mod run;
mod server;
mod server_id;
mod server_info;
mod sharing;
mod signals;
mod start;
mod stats;
mod syslog;
mod system;
mod tasks;
mod tenants;
mod timers;
mod trace;
mod traced;
mod transport;
mod user_info;
mod wire;
mod zone;

pub use builder::Builder;
pub use hub::COMPATIBLE_VERSION;
pub use natterjack_config as config;
pub use program::{LoginAttempt, LoginGrant};
pub use server::Server;
pub use start::StartError;
pub use transport::pipe::InProcess;
