//! The time zone of the machine, as nats-server takes it: read once, when it is first asked for.

use std::sync::OnceLock;

use jiff::tz::TimeZone;

/// What most systems say their zone with.
#[cfg(unix)]
const LOCALTIME: &str = "/etc/localtime";

/// The zone that the variable `TZ` names, else that of the machine.
pub(crate) fn local() -> TimeZone {
    static LOCAL: OnceLock<TimeZone> = OnceLock::new();
    LOCAL.get_or_init(|| of_the_machine().unwrap_or_else(TimeZone::system)).clone()
}

/// Reads the file alone. To find out its name as well, which nobody asks for, would be a walk through
/// the whole database of zones: 600 files, and half of the work of a start.
#[cfg(unix)]
fn of_the_machine() -> Option<TimeZone> {
    if std::env::var_os("TZ").is_some() {
        return None;
    }
    TimeZone::tzif("Local", &std::fs::read(LOCALTIME).ok()?).ok()
}

#[cfg(not(unix))]
fn of_the_machine() -> Option<TimeZone> {
    None
}
