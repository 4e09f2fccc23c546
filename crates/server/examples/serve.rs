//! The server alone, with nats-server's flags: what `natterjack serve` runs.

fn main() {
    std::process::exit(natterjack_server::run::run("natterjack", std::env::args().skip(1)));
}
