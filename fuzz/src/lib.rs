//! What fuzz targets share: a disk that is cheap to copy, and a server around JetStream's engine.

mod disk;
mod server;

pub use disk::{Files, MemDisk};
pub use server::{NOW, Sent, Server};
