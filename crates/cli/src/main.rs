//! The command `natterjack`.

fn main() {
    let mut arguments = std::env::args();
    let program = arguments.next().unwrap_or_default();
    let _ = program;
    let arguments: Vec<String> = arguments.collect();
    let code = natterjack_server::run::run("natterjack", arguments.into_iter().skip(1));
    std::process::exit(code);
}
