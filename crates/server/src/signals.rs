//! Signals of the operating system: receiving them, and sending them to another server.

use std::sync::Arc;

use natterjack_config::flags::Signal;
use tokio::sync::watch;

use crate::hub::Hub;
#[cfg(unix)]
use crate::run::on_signal;

/// Traps the signals; from the return on none of them ends the process. To be called on the runtime.
#[cfg(unix)]
pub(crate) fn trap(hub: &Arc<Hub>, stop: &watch::Sender<bool>) {
    use tokio::signal::unix::{SignalKind, signal};
    let kinds = [
        (SignalKind::interrupt(), Signal::Quit, "interrupt"),
        (SignalKind::terminate(), Signal::Term, "terminated"),
        (SignalKind::hangup(), Signal::Reload, "hangup"),
        (SignalKind::user_defined1(), Signal::Reopen, "user defined signal 1"),
        (SignalKind::user_defined2(), Signal::LameDuck, "user defined signal 2"),
    ];
    for (kind, meaning, name) in kinds {
        let Ok(mut stream) = signal(kind) else {
            crate::log_error!(hub.log(), "signal {name} cannot be handled");
            continue;
        };
        let (task_hub, stop) = (hub.clone(), stop.clone());
        hub.runtime().spawn(async move {
            while stream.recv().await.is_some() {
                on_signal(&task_hub, &stop, meaning, name);
            }
        });
    }
}

/// Obeys Ctrl-C until the server stops.
#[cfg(not(unix))]
pub(crate) fn trap(hub: &Arc<Hub>, stop: &watch::Sender<bool>) {
    let (task_hub, stop) = (hub.clone(), stop.clone());
    hub.runtime().spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            crate::run::on_signal(&task_hub, &stop, Signal::Quit, "interrupt");
        }
    });
}

/// Sends a signal: to a process id, to the process of a pid file, to those that match a pattern such as
/// `12*`, or to the only running server.
#[cfg(unix)]
pub(crate) fn send(program: &str, signal: Signal, target: Option<&str>) -> Result<(), String> {
    use rustix::process::{Pid, Signal as Unix, kill_process};
    let number = match signal {
        Signal::Reload => Unix::HUP,
        Signal::Reopen => Unix::USR1,
        Signal::LameDuck => Unix::USR2,
        Signal::Quit => Unix::INT,
        Signal::Term => Unix::TERM,
        Signal::Stop => Unix::KILL,
    };
    let mut pids = match target.filter(|target| !target.is_empty()) {
        None => running(program, "*"),
        Some(target) => match target.strip_suffix('*') {
            Some(_) => running(program, target),
            None => vec![named(target)?],
        },
    };
    let is_pattern = target.is_some_and(|target| target.ends_with('*'));
    if pids.is_empty() {
        return Err(format!("no {program} processes running"));
    }
    if pids.len() > 1 && !is_pattern {
        pids.sort_unstable();
        let list: Vec<String> = pids.iter().map(i32::to_string).collect();
        return Err(format!("multiple {program} processes running:\n{}", list.join("\n")));
    }
    for pid in pids {
        let pid = Pid::from_raw(pid).ok_or_else(|| format!("invalid pid: {pid}"))?;
        kill_process(pid, number).map_err(|error| format!("unable to send signal: {error}"))?;
    }
    Ok(())
}

/// A process id, or the file that holds it.
#[cfg(unix)]
fn named(target: &str) -> Result<i32, String> {
    if let Ok(pid) = target.parse() {
        return Ok(pid);
    }
    std::fs::read_to_string(target)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| format!("invalid pid: {target}"))
}

/// Servers of this name, by `/proc`; without it (macOS), a pid or pid file is needed.
#[cfg(unix)]
fn running(program: &str, pattern: &str) -> Vec<i32> {
    let wanted = pattern.trim_end_matches('*');
    let own = std::process::id();
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| u32::try_from(*pid) != Ok(own) && pid.to_string().starts_with(wanted))
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
                let mut words = line.split(|byte| *byte == 0);
                let first = words.next().unwrap_or_default();
                let name = first.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
                name == program.as_bytes()
                    && (program == "nats-server" || words.next() == Some(b"serve"))
            })
        })
        .collect()
}

/// Windows knows no such signals.
#[cfg(not(unix))]
pub(crate) fn send(_program: &str, _signal: Signal, _target: Option<&str>) -> Result<(), String> {
    Err("signals cannot be sent on this system; stop the process or use Ctrl-C".into())
}
