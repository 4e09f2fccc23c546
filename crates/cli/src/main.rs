//! The command `natterjack`.

fn main() {}
