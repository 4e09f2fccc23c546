//! Subject grammar, wildcards, transforms, the sublist and per-subject state.
//!
//! A *subject* is a byte slice of tokens separated by `.`; none may be empty. Matching is bytewise:
//! no case folding, no Unicode normalisation, invalid UTF-8 is as good as any other token. In a
//! subscription the token `*` stands for exactly one token and a final `>` for one or more. Inside a
//! longer token both are ordinary characters (`foo*.b>r`).
//!
//! What stands here, from the bottom up:
//!
//! - the grammar: [`is_valid_subscription`], [`is_valid_literal`], [`has_wildcard`], [`tokens`];
//! - the algebra of patterns: [`matches()`], [`is_subset`], [`overlaps`];
//! - [`Sublist`], the index of an account's subscriptions by pattern;
//! - [`SubjectMap`], the per-subject state of a stream;
//! - [`Transform`], the rules that rename subjects;
//! - [`whole`], how those locks are taken.
//!
//! The crate is pure and keeps no state of its own: callers own each structure and its lock.
//!
//! ```
//! use natterjack_subject::{MatchSet, Sublist};
//!
//! let mut sublist = Sublist::new();
//! sublist.insert(b"orders.*", None, 1);
//! sublist.insert(b"orders.>", Some(b"workers"), 2);
//!
//! let mut found = MatchSet::new();
//! sublist.matches(b"orders.new", &mut found);
//! assert_eq!(found.plain, [1]);
//! assert_eq!(&*found.queues[0].0, b"workers");
//! assert_eq!(found.queues[0].1, [2]);
//! ```

mod grammar;
mod hash;
mod label;
mod map;
mod pattern;
mod sublist;
mod transform;
mod whole;

pub use grammar::{
    has_wildcard, is_publishable, is_valid_literal, is_valid_subscription, token_count, tokens,
};
pub use map::{Iter, SubjectMap};
pub use pattern::{is_subset, matches, overlaps};
pub use sublist::{MatchSet, Sublist};
pub use transform::{Transform, TransformError};
pub use whole::whole;
