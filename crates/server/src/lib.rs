//! The NATS server: sockets, timers, threads, and the embeddable handle
