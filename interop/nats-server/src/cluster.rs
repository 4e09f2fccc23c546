//! Three servers that know each other.

use std::net::{Ipv4Addr, TcpListener};

use crate::Server;
use crate::process::Process;

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    /// Its nodes.
    pub servers: Vec<Server>,
}

/// Starts a cluster of three, each with this configuration file.
pub fn run_cluster(config: &str) -> Cluster {
    let ports = free_ports::<3>();
    let routes: Vec<String> = ports.iter().map(|port| route(*port)).collect();
    let routes = routes.join(",");
    let start = |(node, port): (usize, &u16)| {
        let (name, listen) = (format!("node{node}"), route(*port));
        let cluster = ["--cluster_name", "tests", "--cluster", &listen, "--routes", &routes];
        let process = Process::start(config, "-1", &[&["-n", &name], &cluster[..]].concat());
        Server { process }
    };
    Cluster { servers: ports.iter().enumerate().map(start).collect() }
}

impl Cluster {
    /// Where clients of the first node connect.
    pub fn client_url(&self) -> String {
        self.servers[0].client_url()
    }
}

fn route(port: u16) -> String {
    format!("nats://127.0.0.1:{port}")
}

/// Ports that were free a moment ago, all different.
fn free_ports<const N: usize>() -> [u16; N] {
    // Held until all are taken.
    let listeners: [TcpListener; N] = std::array::from_fn(|_| {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port of the loopback address")
    });
    listeners.map(|listener| listener.local_addr().expect("it is bound").port())
}
