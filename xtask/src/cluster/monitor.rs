//! What a server's monitoring port tells.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The JSON behind `path`, if the server answers 200.
pub(crate) fn get(port: u16, path: &str) -> Result<Value> {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(socket, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    ensure!(status == "200", "{path}: status {status}");
    Ok(serde_json::from_str(body)?)
}

/// Connections of clients to the node.
pub(super) fn connections(port: u16) -> Result<u64> {
    get(port, "/connz")?["num_connections"].as_u64().context("/connz without num_connections")
}

/// Whether the node leads the cluster's metadata, with every other node (`others`) up to date.
pub(super) fn leads(port: u16, name: &str, others: usize) -> Result<bool> {
    let meta = &get(port, "/jsz")?["meta_cluster"];
    let peers = meta["replicas"].as_array().map(Vec::as_slice).unwrap_or_default();
    let current = peers.iter().filter(|peer| {
        peer["current"].as_bool() == Some(true) && peer["offline"].as_bool() != Some(true)
    });
    Ok(meta["leader"].as_str() == Some(name) && current.count() == others)
}
