//! Names of hosts, found out beside everything else by the system's own `getent`.

use std::collections::HashMap;

use tokio::process::Command;
use tokio::sync::mpsc;

/// Addresses whose names are known or looked for; more are shown as they are.
const MOST: usize = 4096;

/// Names of addresses.
#[derive(Debug)]
pub(super) struct Names {
    /// Without a name yet, or for good, it is empty.
    known: HashMap<String, String>,
    waiting: usize,
    tell: mpsc::UnboundedSender<(String, String)>,
    told: mpsc::UnboundedReceiver<(String, String)>,
}

impl Default for Names {
    fn default() -> Self {
        // Bounded by the number of addresses that are looked for.
        let (tell, told) = mpsc::unbounded_channel();
        Self { known: HashMap::new(), waiting: 0, tell, told }
    }
}

impl Names {
    /// The name of an address, or the address.
    pub(super) fn of<'a>(&'a self, address: &'a str) -> &'a str {
        match self.known.get(address) {
            Some(name) if !name.is_empty() => name,
            _ => address,
        }
    }

    /// Begins to look for the names of those that are new.
    pub(super) fn ask<'a>(&mut self, addresses: impl Iterator<Item = &'a str>) {
        self.hear();
        for address in addresses {
            if self.known.len() >= MOST || self.known.contains_key(address) {
                continue;
            }
            self.known.insert(address.to_owned(), String::new());
            self.waiting += 1;
            let (address, tell) = (address.to_owned(), self.tell.clone());
            tokio::spawn(async move {
                let name = look_up(&address).await;
                // Nobody may be there any more to be told.
                let _ = tell.send((address, name));
            });
        }
    }

    fn hear(&mut self) {
        while let Ok((address, name)) = self.told.try_recv() {
            self.waiting -= 1;
            self.known.insert(address, name);
        }
    }

    /// Waits for those that are looked for.
    pub(super) async fn settle(&mut self) {
        while self.waiting > 0
            && let Some((address, name)) = self.told.recv().await
        {
            self.waiting -= 1;
            self.known.insert(address, name);
        }
    }
}

/// Empty where there is no name, or nobody to ask.
async fn look_up(address: &str) -> String {
    let found = Command::new("getent").args(["hosts", address]).kill_on_drop(true).output().await;
    let Ok(found) = found else { return String::new() };
    let text = String::from_utf8_lossy(&found.stdout);
    text.split_whitespace().nth(1).unwrap_or_default().to_owned()
}
