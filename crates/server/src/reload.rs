//! Applying a changed configuration to a running server: all of it, or nothing.

use std::path::PathBuf;
use std::sync::Arc;

use natterjack_config::Options;
use natterjack_config::flags::Overrides;
use natterjack_config::reload::{Change, What, diff};
use natterjack_proto::error::{ClosedReason, ServerError};

use crate::hub::Hub;
use crate::transport::tls::Transports;
use crate::{files, log_info, log_warn, logins, run, tenants};

/// Reads the configuration file again and applies what can change.
///
/// # Errors
/// The text for the log; nothing was changed then.
pub(crate) fn reload(hub: &Arc<Hub>) -> Result<(), String> {
    // One at a time, whoever asks: a signal, a request or the embedder.
    let _changing = hub.changing();
    change_to(hub, read(hub)?)
}

/// Applies what can change of these options, which come from the embedding program.
///
/// # Errors
/// As [`reload`].
pub(crate) fn reload_options(hub: &Arc<Hub>, new: Options) -> Result<(), String> {
    let _changing = hub.changing();
    new.validate().map_err(|error| error.to_string())?;
    change_to(hub, new)
}

fn change_to(hub: &Arc<Hub>, new: Options) -> Result<(), String> {
    if hub.runtime().panicked().is_some() {
        return Err("the server stops after a panic".to_owned());
    }
    let old = hub.options();
    let changes = diff(&old, &new).map_err(|refusal| refusal.to_string())?;
    let authenticator = logins::authenticator(&new, hub.program_logins().is_some())
        .map_err(|error| error.to_string())?;
    tenants::check(&new).map_err(|error| error.to_string())?;
    let transports = Transports::load(&new)?;
    // Nothing below can fail but the log file, which comes first.
    if changes.iter().any(|change| change.what == What::Logging) {
        hub.replace_log(run::log_options(&new)).map_err(|error| error.to_string())?;
    }
    let digest = new.config_digest.clone();
    for warning in &new.warnings {
        log_warn!(hub.log(), "{warning}");
    }
    hub.set_options(Arc::new(new));
    // What was learned beside the file stays.
    authenticator.inherit(&hub.authenticator());
    hub.set_authenticator(authenticator);
    hub.set_transports(transports);
    tenants::set_up(hub).map_err(|error| error.to_string())?;
    hub.resolver().reload(hub);
    for change in &changes {
        apply(hub, change);
    }
    for connection in hub.connections() {
        connection.reload();
    }
    log_info!(hub.log(), "Reloaded server configuration ({digest})");
    Ok(())
}

fn read(hub: &Hub) -> Result<Options, String> {
    let none = Overrides::default();
    let overrides = hub.overrides().unwrap_or(&none);
    let current = hub.options();
    let Some(path) = current.config_file.as_deref() else {
        return Err("can only reload config when a file is provided using -c or --config".into());
    };
    let mut options = Options::load(path, &files::RealSource).map_err(|error| error.to_string())?;
    overrides.apply(&mut options);
    options.validate().map_err(|error| error.to_string())?;
    Ok(options)
}

fn apply(hub: &Hub, change: &Change) {
    let options = hub.options();
    match change.what {
        What::MaxConnections => close_newest(hub, options.max_connections),
        What::PidFile => {
            if let Some(path) = options.pid_file.as_deref().filter(|path| !path.is_empty())
                && let Err(error) = files::write_pid(&PathBuf::from(path))
            {
                log_warn!(hub.log(), "could not write pid file {path:?}: {error}");
            }
        }
        What::PortsFileDir => {
            if let Err((path, error)) = hub.write_ports_file() {
                log_warn!(hub.log(), "could not write ports file {path:?}: {error}");
            }
        }
        // Read where they are used, or by the connections themselves.
        _ => {}
    }
    log_info!(hub.log(), "{}", change.line);
}

/// Fewer connections are allowed: the newest go.
fn close_newest(hub: &Hub, max: Option<u64>) {
    let Some(max) = max.and_then(|max| usize::try_from(max).ok()) else { return };
    let mut connections = hub.connections();
    connections.sort_by_key(|connection| connection.client.cid);
    let surplus = connections.split_off(max.min(connections.len()));
    if !surplus.is_empty() {
        log_info!(hub.log(), "Closed {} connections to fall within max_connections", surplus.len());
    }
    for connection in surplus {
        let mut line = Vec::new();
        natterjack_proto::encode::err(&mut line, &ServerError::MaximumConnectionsExceeded);
        hub.send(&connection.client, line);
        connection.client.close(ClosedReason::MaximumConnectionsExceeded);
    }
}
