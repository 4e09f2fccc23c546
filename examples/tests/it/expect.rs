//! What the programs print, without spans of time.

/// The texts of a pair that sends three messages.
pub(crate) struct Texts {
    pub(crate) pair: &'static str,
    pub(crate) address: String,
    pub(crate) server: String,
    pub(crate) account: String,
}

impl Texts {
    pub(crate) fn first(&self, side: &str) -> String {
        let name = match self.pair {
            "01_simple" => "simple",
            "02_creds" => "creds",
            "03_jetstream" => "JetStream",
            "05_kv" => "Key/Value",
            "06_kv_token" => "Key/Value token",
            _ => "callbacks",
        };
        let (address, server) = (&self.address, &self.server);
        format!(
            "connected to {address} as \"NATS {name} example {side}\" (server {server} v2.15.1, rtt T)"
        )
    }

    pub(crate) fn last_received(&self) -> String {
        "received 3, dropped 0, redelivered 0; drained in T".into()
    }

    /// Whether the pair shows all events.
    fn tells(&self) -> bool {
        !["01_simple", "02_creds", "03_jetstream"].contains(&self.pair)
    }

    fn end(&self, last: &str) -> Vec<String> {
        let mut lines = Vec::new();
        if self.tells() {
            lines.extend(["+T draining, at most T".to_owned(), "+T closed: drained".to_owned()]);
        }
        lines.push(last.to_owned());
        lines
    }

    pub(crate) fn publisher(&self) -> Vec<String> {
        let mut lines = vec![self.first("publisher")];
        let mut details: [String; 3] = Default::default();
        match self.pair {
            "01_simple" | "02_creds" => {}
            "05_kv" | "06_kv_token" => {
                for text in [
                    "create demo: revision 2",
                    "create demo: conflict: expected 0, current 2",
                    "update demo at revision 2: revision 3",
                    "update demo: conflict: expected 2, current 3",
                    "bad key name `demo key`: ` ` at position 5 is not allowed",
                    "delete demo: revision 4",
                    "purge demo: revision 5",
                    "create short-2 for T: then it expires",
                ] {
                    lines.push(text.into());
                }
                details = [7, 8, 9].map(|revision| format!(" revision {revision}"));
            }
            // The subscriber has made the stream.
            _ => {
                lines.push("stream sample_stream holds 0 messages (file)".into());
                details = [1, 2, 3].map(|seq| format!(" stream sample_stream, seq {seq}"));
            }
        }
        for (n, detail) in (1..).zip(&details) {
            lines.push(format!("-> foo #{n} \"Hello #{n} from NATS publisher\"{detail}"));
        }
        if self.pair == "02_creds" {
            lines.push("permission denied: publish demo.secret".into());
        }
        lines.extend(self.end("sent 3, confirmed 3, failed 0 in T"));
        lines
    }

    pub(crate) fn subscriber(&self) -> Vec<String> {
        let mut lines = vec![self.first("subscriber")];
        match self.pair {
            "01_simple" | "02_creds" => {
                if self.pair == "02_creds" {
                    let account = &self.account;
                    lines.push(format!("user demo of account {account}, never expires"));
                }
                lines.push("listening on foo; what was sent before is gone".into());
            }
            "03_jetstream" => {
                lines.push("stream sample_stream is new and holds 0 messages (file)".into());
            }
            _ => lines.push("stream sample_stream holds 0 messages (file)".into()),
        }
        for n in 1..=3 {
            let detail = match self.pair {
                "01_simple" | "02_creds" => String::new(),
                _ => format!(" seq {n}, delivered 1, pending 0"),
            };
            lines.push(format!("<- foo #{n} \"Hello #{n} from NATS publisher\" (T){detail}"));
        }
        lines.extend(self.end(&self.last_received()));
        lines
    }

    /// The values that a watcher of a bucket is told.
    pub(crate) fn values(&self) -> Vec<String> {
        let line = |n| {
            let revision = n + 6;
            format!("<- foo #{n} \"Hello #{n} from NATS publisher\" (T) PUT revision {revision}")
        };
        (1..=3).map(line).collect()
    }
}
