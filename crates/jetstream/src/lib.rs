//! Streams, consumers and the JetStream API as state machines
