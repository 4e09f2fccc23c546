//! Logins about which the program decides that embeds the server.

use super::authenticator::{Authenticator, Logins};
use super::identity::Proof;
use super::{AccountInfo, AuthFailure, GLOBAL_ACCOUNT, Identity};
use crate::permissions::{Permissions, PermissionsSpec};
use std::sync::Arc;

/// Whom the program lets in.
#[derive(Clone, Debug, Default)]
pub struct Admitted {
    /// The user's name, for monitoring and the log.
    pub user: Option<String>,
    /// An account of the configuration; `None` is `$G`.
    pub account: Option<String>,
    /// What it may do; `None` is what the account's users may by default.
    pub permissions: Option<PermissionsSpec>,
    /// When the login ends, in seconds of Unix time.
    pub expires_unix: Option<i64>,
}

impl Authenticator {
    /// Whether the embedding program is asked about logins.
    pub fn asks_program(&self) -> bool {
        matches!(self.logins, Logins::Program)
    }

    /// Who somebody is whom the program let in. Connections that log in alike share what is returned.
    ///
    /// # Errors
    ///
    /// There is no such account, or a permission is no subject.
    pub fn admit(&self, admitted: Admitted) -> Result<Arc<Identity>, AuthFailure> {
        let account = self.account_of(admitted.account.as_deref().unwrap_or(GLOBAL_ACCOUNT))?;
        let permissions = match admitted.permissions {
            Some(spec) => Some(Arc::new(Permissions::compile(spec)?)),
            None => account.default_permissions.clone(),
        };
        let user: Option<Arc<str>> = admitted.user.map(Arc::from);
        let mut identity = self.in_global_as(user, Proof::Program);
        identity.label = match identity.user.as_deref() {
            Some(user) => format!("{}/user:{user}", account.id),
            None => String::new(),
        };
        identity.account = account.id.clone();
        identity.account_name = account.name.clone();
        identity.permissions = permissions;
        identity.expires_unix = admitted.expires_unix;
        Ok(self.intern(identity))
    }

    /// After a reload: the program is not asked again, but the account has to be there still.
    pub(super) fn admit_again(&self, identity: &Identity) -> Result<Identity, AuthFailure> {
        self.account_of(&identity.account)?;
        Ok(identity.clone())
    }

    fn account_of(&self, name: &str) -> Result<Arc<AccountInfo>, AuthFailure> {
        let known = self.account(name);
        known.ok_or_else(|| AuthFailure::Program(format!("account {name:?} is not configured")))
    }
}
