//! Core NATS: sessions, logins, accounts, permissions, interest, delivery decisions
