//! An operator with an account and a user, made anew for each test.

use natterjack_core::jwt::{AccountClaims, Creds, OperatorClaims, UserClaims};
use nkeys::KeyPair;

/// A server's configuration and a credentials file.
pub(crate) struct Operator {
    pub(crate) config: String,
    pub(crate) creds: String,
}

impl Operator {
    pub(crate) fn new() -> Self {
        let (operator, account, user) =
            (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
        let (issued, account_key) = (1_700_000_000, account.public_key());
        let operator_jwt =
            OperatorClaims::new("test", &operator.public_key()).encode(&operator, issued).unwrap();
        let account_jwt =
            AccountClaims::new("APP", &account_key).encode(&operator, issued).unwrap();
        let jwt = UserClaims::new("user", &user.public_key()).encode(&account, issued).unwrap();
        let config = format!(
            "operator: {operator_jwt}\nresolver: MEMORY\nresolver_preload {{ {account_key}: {account_jwt} }}\n"
        );
        let creds = Creds { jwt, seed: user.seed().unwrap() }.format().unwrap();
        Self { config, creds }
    }
}
