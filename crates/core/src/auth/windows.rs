//! From where and when a user may connect: networks and times of day of a user's JWT.

use super::{AuthFailure, Hooks};
use crate::jwt::{TimeRange, UserPermissionLimits};
use std::net::IpAddr;

const DAY: i64 = 86_400;

/// Whether a text names a network (CIDR), as `10.0.0.0/8`.
pub fn is_network(text: &str) -> bool {
    parse_network(text).is_some()
}

/// Whether the address lies in one of the networks (CIDR). No address lies in none; one network that
/// cannot be read refuses all, as in nats-server.
pub(super) fn is_within(networks: &[String], ip: Option<IpAddr>) -> bool {
    let Some(ip) = ip.map(|ip| ip.to_canonical()) else {
        return false;
    };
    let mut found = false;
    for network in networks {
        let Some((base, bits)) = parse_network(network) else {
            return false;
        };
        found |= contains(base, bits, ip);
    }
    found
}

fn parse_network(text: &str) -> Option<(IpAddr, u32)> {
    let (base, bits) = text.trim().split_once('/')?;
    let base: IpAddr = base.parse().ok()?;
    let bits: u32 = bits.parse().ok()?;
    let width = if base.is_ipv4() { 32 } else { 128 };
    (bits <= width).then_some((base, bits))
}

fn contains(base: IpAddr, bits: u32, ip: IpAddr) -> bool {
    match (base, ip) {
        (IpAddr::V4(base), IpAddr::V4(ip)) => {
            let differing = (base.to_bits() ^ ip.to_bits()).leading_zeros();
            differing >= bits
        }
        (IpAddr::V6(base), IpAddr::V6(ip)) => {
            let differing = (base.to_bits() ^ ip.to_bits()).leading_zeros();
            differing >= bits
        }
        _ => false,
    }
}

/// Until when a user may stay that connects now, in seconds of Unix time; `None` without windows.
pub(super) fn window_end(
    user: &UserPermissionLimits,
    hooks: &Hooks,
    now_unix: i64,
) -> Result<Option<i64>, AuthFailure> {
    if user.times.is_empty() {
        return Ok(None);
    }
    let offset = (hooks.zone_offset)(&user.times_location, now_unix);
    let left = offset.and_then(|offset| seconds_left(&user.times, offset, now_unix));
    Ok(Some(now_unix.saturating_add(left.ok_or(AuthFailure::OutsideTimes)?)))
}

/// Seconds until the end of the window that `now_unix` lies in, at `offset_s` east of UTC; `None`
/// outside of all windows. A window whose end is before its start reaches into the next day.
fn seconds_left(windows: &[TimeRange], offset_s: i32, now_unix: i64) -> Option<i64> {
    let now = now_unix.saturating_add(i64::from(offset_s)).rem_euclid(DAY);
    windows
        .iter()
        .filter_map(|window| {
            let (start, end) = (time_of_day(&window.start)?, time_of_day(&window.end)?);
            let length = (end - start).rem_euclid(DAY);
            let into = (now - start).rem_euclid(DAY);
            (into < length).then_some(length - into)
        })
        .max()
}

/// `HH:MM:SS` in seconds.
fn time_of_day(text: &str) -> Option<i64> {
    let mut fields = text.split(':').map(|field| match field.len() {
        1..=2 if field.bytes().all(|byte| byte.is_ascii_digit()) => field.parse::<i64>().ok(),
        _ => None,
    });
    let (hours, minutes, seconds) = (fields.next()??, fields.next()??, fields.next()??);
    let is_valid = fields.next().is_none() && hours < 24 && minutes < 60 && seconds < 60;
    is_valid.then_some(hours * 3600 + minutes * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_addresses() {
        fn check(networks: &[&str], ip: Option<&str>, expected: bool) {
            let list: Vec<String> = networks.iter().map(|network| (*network).to_owned()).collect();
            let ip = ip.map(|ip| ip.parse().unwrap());
            assert_eq!(is_within(&list, ip), expected, "{ip:?} in {networks:?}");
        }
        check(&["127.0.0.0/8"], Some("127.0.0.1"), true);
        check(&["10.0.0.0/8"], Some("127.0.0.1"), false);
        check(&["10.0.0.0/8", "127.0.0.1/32"], Some("127.0.0.1"), true);
        check(&["127.0.0.2/32"], Some("127.0.0.1"), false);
        check(&["10.1.2.3/8"], Some("10.9.9.9"), true);
        check(&["0.0.0.0/0"], Some("8.8.8.8"), true);
        check(&["0.0.0.0/0"], Some("::1"), false);
        check(&["127.0.0.0/8"], Some("::ffff:127.0.0.1"), true);
        check(&["fe80::/10"], Some("fe80::1"), true);
        check(&["::/0"], Some("::1"), true);
        check(&["127.0.0.0/8"], None, false);
        check(&["127.0.0.1"], Some("127.0.0.1"), false);
        check(&["127.0.0.0/8", "nonsense"], Some("127.0.0.1"), false);
        check(&["127.0.0.0/33"], Some("127.0.0.1"), false);
    }

    #[test]
    fn windows_of_the_day() {
        fn check(windows: &[(&str, &str)], offset_h: i32, clock: &str, expected: Option<i64>) {
            let list: Vec<TimeRange> = windows
                .iter()
                .map(|(start, end)| TimeRange { start: (*start).into(), end: (*end).into() })
                .collect();
            let now = 20_000 * DAY + time_of_day(clock).unwrap();
            let actual = seconds_left(&list, offset_h * 3600, now);
            assert_eq!(actual, expected, "{windows:?} at {clock}Z, {offset_h} h east");
        }
        let office = &[("08:00:00", "17:00:00")];
        check(office, 0, "07:59:59", None);
        check(office, 0, "08:00:00", Some(9 * 3600));
        check(office, 0, "16:59:59", Some(1));
        check(office, 0, "17:00:00", None);
        check(office, 2, "06:30:00", Some(8 * 3600 + 1800));
        check(office, -5, "21:59:50", Some(10));
        let night = &[("22:00:00", "06:00:00")];
        check(night, 0, "23:00:00", Some(7 * 3600));
        check(night, 0, "05:59:59", Some(1));
        check(night, 0, "12:00:00", None);
        check(&[("08:00:00", "09:00:00"), ("08:30:00", "10:00:00")], 0, "08:45:00", Some(4500));
        check(&[("8:00", "17:00:00"), ("24:00:00", "25:00:00")], 0, "12:00:00", None);
    }
}
