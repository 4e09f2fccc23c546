//! The NATS client protocol: operations, headers, parser, encoder, wire errors.
//!
//! Bytes come in through [`parser::Parser`], which yields operations whose fields are slices of the
//! caller's buffer, and leave through the functions of [`encode`], which append to the caller's buffer.
//! Neither allocates per operation. Every text that the server may put into `-ERR` stands in [`error`].
//!
//! What is absent on purpose: sockets, permission checks, subject validation (a subject is any run of
//! bytes without blanks here, see `natterjack-subject`), and the decision what to do with an operation.
//!
//! The rules come from the behaviour of nats-server 2.15.1; a comment says so where a rule looks odd.

pub mod connect;
pub mod encode;
pub mod error;
pub mod headers;
pub mod id;
pub mod info;
pub mod parser;
pub mod proxy;
pub mod quote;

pub use connect::{Connect, ConnectError};
pub use error::{ClosedReason, ServerError};
pub use headers::{HeaderBlock, Headers};
pub use info::Info;
pub use parser::{Limits, Op, ParseError, ParseErrorKind, Parser, Publish, Step};
