//! An operator with an account and a user, made anew for each test.

use natterjack_core::jwt::{AccountClaims, Creds, OperatorClaims, UserClaims};
use nkeys::KeyPair;

/// A server's configuration and a credentials file.
pub(crate) struct Operator {
    pub(crate) config: String,
    pub(crate) user: String,
    pub(crate) account: String,
}

impl Operator {
    pub(crate) fn new() -> Self {
        Self::until(0)
    }

    /// With a user whose credentials expire then, in seconds of Unix time; 0 is never.
    pub(crate) fn until(expires: i64) -> Self {
        let (operator, account, user) =
            (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
        let (issued, account_key) = (1_700_000_000, account.public_key());
        let mut operator_claims = OperatorClaims::new("test", &operator.public_key());
        let operator_jwt = operator_claims.encode(&operator, issued).unwrap();
        let mut account_claims = AccountClaims::new("APP", &account_key);
        let account_jwt = account_claims.encode(&operator, issued).unwrap();
        let mut claims = UserClaims::new("demo", &user.public_key());
        claims.nats.permissions.publish.deny.push("demo.secret".into());
        claims.exp = expires;
        let jwt = claims.encode(&account, issued).unwrap();
        let config = format!(
            "operator: {operator_jwt}\nresolver: MEMORY\nresolver_preload {{ {account_key}: {account_jwt} }}\n"
        );
        let seed = user.seed().unwrap();
        Self { config, user: Creds { jwt, seed }.format().unwrap(), account: account_key }
    }
}
