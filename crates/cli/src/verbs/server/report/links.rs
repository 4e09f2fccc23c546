//! Links of servers to each other: routes, gateways, leafnodes.

use serde_json::Value;

use super::Servers;
use crate::connect::Context;
use crate::exit::Outcome;
use crate::json::{number, text};
use crate::table::Table;
use crate::units;

/// What kind of links.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Routes,
    Gateways,
    Leafnodes,
}

/// A link: the server that tells of it, which way it leads, to whom.
struct Link<'a> {
    server: &'a Value,
    direction: &'static str,
    name: &'a str,
    link: &'a Value,
}

impl Kind {
    fn subject(self) -> &'static str {
        match self {
            Self::Routes => "$SYS.REQ.SERVER.PING.ROUTEZ",
            Self::Gateways => "$SYS.REQ.SERVER.PING.GATEWAYZ",
            Self::Leafnodes => "$SYS.REQ.SERVER.PING.LEAFZ",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Routes => "Route Report",
            Self::Gateways => "Gateway Report",
            Self::Leafnodes => "Leafnode Report",
        }
    }

    /// The links in an answer.
    fn links(self, answer: &Value) -> Vec<Link<'_>> {
        let server = answer.get("server").unwrap_or(&Value::Null);
        let list = |pointer| answer.pointer(pointer).and_then(Value::as_array);
        let map = |pointer| answer.pointer(pointer).and_then(Value::as_object);
        match self {
            Self::Routes => list("/data/routes")
                .into_iter()
                .flatten()
                .map(|link| {
                    let direction =
                        if crate::json::flag(link, "/did_solicit") { "out" } else { "in" };
                    Link { server, direction, name: text(link, "/remote_name"), link }
                })
                .collect(),
            Self::Gateways => {
                let out = map("/data/outbound_gateways").into_iter().flatten();
                let out = out.filter_map(|(name, gateway)| {
                    let link = gateway.get("connection")?;
                    Some(Link { server, direction: "out", name, link })
                });
                let into = map("/data/inbound_gateways").into_iter().flatten();
                let into = into.flat_map(|(name, gateways)| {
                    let all = gateways.as_array().map_or(&[][..], Vec::as_slice);
                    all.iter().filter_map(move |gateway| {
                        let link = gateway.get("connection")?;
                        Some(Link { server, direction: "in", name, link })
                    })
                });
                out.chain(into).collect()
            }
            Self::Leafnodes => list("/data/leafs")
                .into_iter()
                .flatten()
                .map(|link| {
                    let direction = if crate::json::flag(link, "/is_spoke") { "out" } else { "in" };
                    Link { server, direction, name: text(link, "/name"), link }
                })
                .collect(),
        }
    }
}

pub(super) async fn print(context: &Context, servers: &Servers, kind: Kind) -> Outcome {
    let out = context.out;
    let all = servers.ask_in_order(context, kind.subject()).await?;
    if out.json {
        out.document(&all);
        return Ok(());
    }
    let head = [
        "Server",
        "Cluster",
        "Direction",
        "Name",
        "Account",
        "Address",
        "Uptime",
        "RTT",
        "Subs",
        "In Msgs",
        "Out Msgs",
        "In Bytes",
        "Out Bytes",
    ];
    let mut table = Table::new(kind.title(), &head).right(&[6, 7, 8, 9, 10, 11, 12]);
    for Link { server, direction, name, link } in all.iter().flat_map(|one| kind.links(one)) {
        let count = |pointer| units::count(number(link, pointer));
        table.row([
            text(server, "/name").to_owned(),
            text(server, "/cluster").to_owned(),
            direction.to_owned(),
            name.to_owned(),
            text(link, "/account").to_owned(),
            format!("{}:{}", text(link, "/ip"), number(link, "/port")),
            text(link, "/uptime").to_owned(),
            text(link, "/rtt").to_owned(),
            count("/subscriptions"),
            count("/in_msgs"),
            count("/out_msgs"),
            units::size(number(link, "/in_bytes")),
            units::size(number(link, "/out_bytes")),
        ]);
    }
    table.print(&out);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn links_are_found_in_each_answer() {
        let found = |kind: Kind, data: Value| -> Vec<(String, &'static str)> {
            let answer = json!({"server": {"name": "a"}, "data": data});
            kind.links(&answer).iter().map(|link| (link.name.to_owned(), link.direction)).collect()
        };
        let routes = json!({"routes": [{"remote_name": "b", "did_solicit": true},
            {"remote_name": "c"}]});
        assert_eq!(found(Kind::Routes, routes), [("b".to_owned(), "out"), ("c".to_owned(), "in")]);
        let gateways = json!({"outbound_gateways": {"B": {"connection": {}}},
            "inbound_gateways": {"C": [{"connection": {}}, {"connection": {}}]}});
        assert_eq!(
            found(Kind::Gateways, gateways),
            [("B".to_owned(), "out"), ("C".to_owned(), "in"), ("C".to_owned(), "in")]
        );
        let leafs = json!({"leafs": [{"name": "l", "is_spoke": false}]});
        assert_eq!(found(Kind::Leafnodes, leafs), [("l".to_owned(), "in")]);
        assert_eq!(found(Kind::Routes, json!({})), []);
    }
}
