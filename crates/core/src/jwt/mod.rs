//! NATS JWTs: operator, account, user and activation claims, signed by nkeys; and credentials files.
//!
//! A token is `base64url(header).base64url(payload).base64url(signature)` without padding. Version 2
//! (`alg` `ed25519-nkey`) signs the text before the last dot, version 1 (`ed25519`) the payload's text
//! alone. The issuer's public key stands in the token: [`decode`] proves that the issuer signed it, and
//! whether the issuer is to be trusted is the caller's question (see [`auth`](crate::auth)).
//!
//! ```
//! use natterjack_core::jwt::{Claims, User, decode};
//! use nkeys::{KeyPair, KeyPairType};
//!
//! let account = KeyPair::new_from_raw(KeyPairType::Account, [1; 32]).unwrap();
//! let user = KeyPair::new_from_raw(KeyPairType::User, [2; 32]).unwrap();
//! let mut claims = Claims::<User>::new("alice", &user.public_key());
//! claims.nats.permissions.publish.allow.push("orders.>".to_owned());
//! let token = claims.encode(&account, 1_700_000_000).unwrap();
//!
//! let read = decode::<User>(&token).unwrap();
//! assert_eq!(read.name, "alice");
//! assert_eq!(read.iss, account.public_key());
//! ```

mod callout;
mod claims;
mod creds;
mod lenient;
mod token;
mod validate;

pub use callout::{
    AuthorizationRequest, AuthorizationResponse, ClientClaims, ConnectClaims, ServerClaims,
    TlsClaims,
};
pub use claims::{
    Account, AccountClaimLimits, Activation, ExternalAuthorization, Generic, JetStreamClaimLimits,
    Operator, PermissionClaims, ResponseClaims, Scope, SigningKey, SubjectClaims, TimeRange,
    TraceClaims, User, UserPermissionLimits, WeightedMapping,
};
pub use creds::{Creds, CredsError, CredsPart, parse_seed};
pub use token::{ClaimBody, Claims, JwtError, KeyKind, decode, find_token, key_kind};
pub use validate::account_faults;

/// The claims of a user's token.
pub type UserClaims = Claims<User>;
/// The claims of an account's token.
pub type AccountClaims = Claims<Account>;
/// The claims of an activation.
pub type ActivationClaims = Claims<Activation>;
/// The claims of an operator's token.
pub type OperatorClaims = Claims<Operator>;

#[cfg(test)]
mod tests;
