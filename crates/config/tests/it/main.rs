//! The crate from outside: tables of configurations and command lines with what nats-server 2.15.1
//! answers to them, and random text.

mod flags;
mod language;
mod options;
mod random;
mod world;
