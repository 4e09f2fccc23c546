//! The users of the configuration, by name and by nkey.

use super::identity::Proof;
use super::{
    AccountConfig, AccountInfo, AuthConfigError, AuthFailure, ConnectionType, GLOBAL_ACCOUNT,
    Identity, Secret, UserConfig, UserCredential, UserLimits,
};
use crate::jwt::{KeyKind, key_kind};
use crate::permissions::{Permissions, PermissionsSpec};
use hashbrown::HashMap;
use std::sync::Arc;

type Accounts = HashMap<Arc<str>, Arc<AccountInfo>>;

#[derive(Debug)]
pub(super) struct Users {
    by_name: HashMap<Arc<str>, User>,
    by_nkey: HashMap<Arc<str>, User>,
}

#[derive(Debug)]
pub(super) struct User {
    /// Empty for a user with an nkey.
    pub(super) password: Secret,
    label: String,
    account: Arc<AccountInfo>,
    permissions: Option<Arc<Permissions>>,
    allowed_connection_types: Vec<ConnectionType>,
    proxy_required: bool,
}

impl Users {
    /// Compiles the list; accounts that it names and that are not there yet are added.
    pub(super) fn new(
        list: Vec<UserConfig>,
        accounts: &mut Accounts,
    ) -> Result<Self, AuthConfigError> {
        let mut users = Users { by_name: HashMap::new(), by_nkey: HashMap::new() };
        for config in list {
            users.add(config, accounts)?;
        }
        Ok(users)
    }

    fn add(&mut self, config: UserConfig, accounts: &mut Accounts) -> Result<(), AuthConfigError> {
        let id: Arc<str> = Arc::from(config.account.as_deref().unwrap_or(GLOBAL_ACCOUNT));
        let account =
            accounts.entry(id.clone()).or_insert_with(|| Arc::new(AccountInfo::named(&id))).clone();
        let (name, password, kind) = match config.credential {
            UserCredential::Password { name, password } => (name, password, "user"),
            UserCredential::Nkey(key) if key_kind(&key) == Some(KeyKind::User) => {
                (key, Secret::default(), "nkey")
            }
            UserCredential::Nkey(key) => return Err(AuthConfigError::InvalidUserNkey(key)),
        };
        let permissions = match config.permissions {
            Some(own) => compile(&name, Some(own))?,
            None => account.default_permissions.clone(),
        };
        let user = User {
            password,
            label: format!("{id}/{kind}:{name}"),
            account,
            permissions,
            allowed_connection_types: config.allowed_connection_types,
            proxy_required: config.proxy_required,
        };
        let is_nkey = kind == "nkey";
        let table = if is_nkey { &mut self.by_nkey } else { &mut self.by_name };
        match table.insert(Arc::from(name.as_str()), user) {
            None => Ok(()),
            Some(_) if is_nkey => Err(AuthConfigError::DuplicateNkey(name)),
            Some(_) => Err(AuthConfigError::DuplicateUser(name)),
        }
    }

    pub(super) fn has_nkeys(&self) -> bool {
        !self.by_nkey.is_empty()
    }

    pub(super) fn by_name(&self, name: &str) -> Option<(&Arc<str>, &User)> {
        self.by_name.get_key_value(name)
    }

    pub(super) fn by_nkey(&self, key: &str) -> Option<(&Arc<str>, &User)> {
        self.by_nkey.get_key_value(key)
    }

    /// The user that a certificate names, among those that may use this kind of connection.
    pub(super) fn by_certificate(
        &self,
        certificate: &super::CertificateNames,
        kind: ConnectionType,
    ) -> Option<(&Arc<str>, &User)> {
        let admitted = |(_, user): &(&Arc<str>, &User)| user.admits_kind(kind);
        certificate.user(
            |name| self.by_name(name).filter(admitted),
            self.by_name.iter().filter(admitted).map(|(name, _)| &**name),
        )
    }

    /// The `no_auth_user` of this name or nkey.
    pub(super) fn anonymous(&self, name: &str) -> Option<(&Arc<str>, &User)> {
        self.by_nkey(name).or_else(|| self.by_name(name))
    }

    pub(super) fn passwords(&self) -> impl Iterator<Item = &Secret> {
        self.by_name.values().map(|user| &user.password)
    }
}

impl User {
    pub(super) fn admits(&self, kind: ConnectionType, by_proxy: bool) -> Result<(), AuthFailure> {
        if !self.admits_kind(kind) {
            return Err(AuthFailure::ConnectionTypeNotAllowed);
        }
        if self.proxy_required && !by_proxy {
            return Err(AuthFailure::ProxyRequired);
        }
        Ok(())
    }

    fn admits_kind(&self, kind: ConnectionType) -> bool {
        self.allowed_connection_types.is_empty() || self.allowed_connection_types.contains(&kind)
    }

    pub(super) fn identity(&self, shown: &Arc<str>, proof: Proof) -> Identity {
        Identity {
            account: self.account.id.clone(),
            account_name: self.account.name.clone(),
            user: Some(shown.clone()),
            user_name: None,
            label: self.label.clone(),
            permissions: self.permissions.clone(),
            limits: UserLimits::default(),
            expires_unix: None,
            account_expires_unix: None,
            issuer_key: None,
            tags: Arc::from([]),
            is_bearer: false,
            proxy: None,
            proof,
        }
    }
}

/// The accounts of the configuration, and `$G`.
pub(super) fn accounts(configs: &[AccountConfig]) -> Result<Accounts, AuthConfigError> {
    let mut accounts = HashMap::new();
    for config in configs {
        let mut info = AccountInfo::named(&config.name);
        info.limits = config.limits.clone();
        info.default_permissions = compile(&config.name, config.default_permissions.clone())?;
        if accounts.insert(info.id.clone(), Arc::new(info)).is_some() {
            return Err(AuthConfigError::DuplicateAccount(config.name.clone()));
        }
    }
    accounts
        .entry(Arc::from(GLOBAL_ACCOUNT))
        .or_insert_with(|| Arc::new(AccountInfo::named(GLOBAL_ACCOUNT)));
    Ok(accounts)
}

fn compile(
    of: &str,
    spec: Option<PermissionsSpec>,
) -> Result<Option<Arc<Permissions>>, AuthConfigError> {
    let Some(spec) = spec else {
        return Ok(None);
    };
    let compiled = Permissions::compile(spec)
        .map_err(|source| AuthConfigError::Permissions { user: of.to_owned(), source })?;
    Ok(Some(Arc::new(compiled)))
}
