//! The NATS client protocol: operations, headers, parser, encoder, wire errors
