//! The nodes of a cluster: started, waited for, killed, stopped.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::monitor;
use crate::peers::Peers;
use crate::servers::{Make, Server, free_ports};

const NODES: usize = 3;
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How often nodes that are starting are asked.
const LOOK: Duration = Duration::from_millis(100);

struct Node {
    name: String,
    server: Server,
    monitor: u16,
}

/// Three nodes with JetStream; dropping it ends them and removes their stores.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    _directory: TempDir,
}

impl Cluster {
    /// Starts the nodes and waits until one leads and the others follow.
    pub(crate) fn start(nats_server: Option<PathBuf>) -> Result<Self> {
        let nats_server = match nats_server {
            Some(path) => path,
            None => Peers::get()?.nats_server(),
        };
        let make = Make::Reference(nats_server);
        let directory = tempfile::tempdir()?;
        let routes: [u16; NODES] = free_ports()?;
        let monitors: [u16; NODES] = free_ports()?;
        let mut cluster = Self { nodes: Vec::new(), _directory: directory };
        for (number, (route, monitor)) in (1..).zip(routes.into_iter().zip(monitors)) {
            let name = format!("n{number}");
            let directory = cluster._directory.path();
            let config = directory.join(format!("{name}.conf"));
            let text = config_of(&name, route, &routes, monitor, &directory.join(&name));
            std::fs::write(&config, text)?;
            let config = config.to_str().context("the temporary directory is not UTF-8")?;
            let log = directory.join(format!("{name}.log"));
            let server = Server::start(&make, &["-c", config], &log)?;
            cluster.nodes.push(Node { name, server, monitor });
        }
        cluster.wait_ready()?;
        Ok(cluster)
    }

    fn wait_ready(&self) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        // A node that is not there yet refuses the question, which is an answer too.
        let healthy = |node: &Node| monitor::get(node.monitor, "/healthz").is_ok();
        let leads = |node: &Node| monitor::leads(node.monitor, &node.name, NODES - 1);
        while !(self.nodes.iter().all(healthy)
            && self.nodes.iter().any(|node| leads(node).unwrap_or(false)))
        {
            if Instant::now() > deadline {
                let logs: Vec<String> =
                    self.nodes.iter().map(|node| node.server.log_text()).collect();
                bail!("the cluster is not ready after {READY_TIMEOUT:?}:\n{}", logs.join("\n"));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// The URLs of all nodes, with commas between.
    pub(crate) fn urls(&self) -> String {
        self.nodes.iter().map(|node| node.server.url()).collect::<Vec<_>>().join(",")
    }

    /// Connections of clients to nodes that run.
    pub(super) fn connections(&self) -> Result<u64> {
        self.running().map(|node| monitor::connections(node.monitor)).sum()
    }

    /// Kills the node that most clients are connected to, and returns its name.
    pub(super) fn kill_busiest(&mut self) -> Result<String> {
        let mut counts = Vec::new();
        for node in self.running() {
            counts.push((monitor::connections(node.monitor)?, node.name.clone()));
        }
        let (connections, name) = counts.into_iter().max().context("no node runs")?;
        ensure!(connections > 0, "nobody is connected");
        self.kill(&name)?;
        Ok(name)
    }

    /// Ends the node of this name as `kill -9` does.
    pub(crate) fn kill(&mut self, name: &str) -> Result<()> {
        let node = self.nodes.iter_mut().find(|node| node.name == name);
        node.with_context(|| format!("no node {name}"))?.server.kill()
    }

    fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.server.runs())
    }

    /// Stops all nodes in an orderly way, all at once: a node that loses its peers waits for them.
    pub(crate) fn stop(mut self) -> Result<()> {
        for node in &mut self.nodes {
            node.server.terminate();
        }
        self.nodes.iter_mut().try_for_each(|node| node.server.stop())
    }
}

fn config_of(
    name: &str,
    route: u16,
    routes: &[u16],
    monitor: u16,
    store: &std::path::Path,
) -> String {
    let routes: Vec<String> =
        routes.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
    format!(
        "server_name: {name}\n\
         http: \"127.0.0.1:{monitor}\"\n\
         jetstream {{ store_dir: {store:?}, max_memory_store: 64MB, max_file_store: 256MB }}\n\
         cluster {{\n  name: pond\n  listen: \"127.0.0.1:{route}\"\n  routes: [{}]\n}}\n",
        routes.join(", ")
    )
}
