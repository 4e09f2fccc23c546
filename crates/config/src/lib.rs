//! The configuration language and the typed options of the server
