//! What a stream configuration may say, and what is filled in (jetstream.md 2.2, 2.3).

use natterjack_subject as subject;

use natterjack_store::SEQ_MAX;

use super::config::{Config, Discard, PersistMode, Placement, Retention, Storage};
use super::origins;
pub(crate) use super::origins::check_filters;
use crate::error::{ApiError, Text};
use crate::time::go_duration;

/// The longest stream or consumer name in bytes.
pub const NAME_MAX: usize = 255;
const DESCRIPTION_MAX: usize = 4096;
const METADATA_MAX: usize = 128 * 1024;
const SHORTEST_SPAN: i64 = 100_000_000;
const SECOND: i64 = 1_000_000_000;
const DUPLICATE_WINDOW: i64 = 120 * SECOND;

fn bad(text: impl Into<Text>) -> ApiError {
    ApiError::invalid_config(text)
}

fn require(holds: bool, text: &'static str) -> Result<(), ApiError> {
    if holds { Ok(()) } else { Err(bad(text)) }
}

/// True when `name` can be one token of a subject and a name of a stream or consumer.
pub fn is_valid_name(name: &str) -> bool {
    !name.is_empty()
        && !name.bytes().any(|b| {
            matches!(b, b'.' | b'*' | b'>' | b' ' | b'\t' | b'\r' | b'\n' | 0x0c | b'/' | b'\\')
        })
}

/// What a configuration is checked against.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The server's largest duplicate window in nanoseconds.
    pub window_limit: Option<i64>,
    /// The configuration of another stream of the account.
    pub stream: &'a dyn Fn(&str) -> Option<Config>,
    /// Whether the account's `max_bytes` rules hold.
    pub bytes: &'a dyn Fn(&Config) -> Result<(), ApiError>,
}

/// Checks a configuration of a new or updated stream by itself and fills in defaults. The order of
/// the checks is that of nats-server 2.15.1.
///
/// # Errors
/// 10052 with a text for most rules, 10133, 10155, 10156, what `origins::check` says, and with
/// pedantic requests 10157.
pub fn complete(mut config: Config, around: &Surroundings<'_>) -> Result<Config, ApiError> {
    let pedantic = config.pedantic;
    config.pedantic = false;
    // The server's part of the metadata counts in its size.
    super::meta::stamp(&mut config);
    check_texts(&config)?;
    if config.first_seq > SEQ_MAX {
        return Err(bad(format!("first sequence can not be above {SEQ_MAX}")));
    }
    fill_limits(&mut config, pedantic)?;
    fill_window(&mut config, pedantic, around.window_limit)?;
    require(
        !(config.deny_purge && config.allow_rollup_hdrs),
        "roll-ups require the purge permission",
    )?;
    check_counter(&config)?;
    check_discard(&config)?;
    fill_marker(&mut config, pedantic)?;
    fill_schedules(&mut config, pedantic)?;
    check_persist_mode(&config)?;
    origins::check(&mut config, pedantic, around.stream)?;
    if config.subjects.is_empty() && config.mirror.is_none() && config.sources.is_empty() {
        config.subjects.push(config.name.clone());
    }
    check_subjects(&config)?;
    (around.bytes)(&config)?;
    if let Some(rule) = &config.subject_transform {
        super::rules::check_transform(rule)?;
    }
    super::rules::fill_republish(&mut config, pedantic)?;
    check_placement(&mut config)?;
    if config.num_replicas > 1 {
        return Err(ApiError::StreamReplicasNotSupported);
    }
    Ok(config)
}

fn check_texts(config: &Config) -> Result<(), ApiError> {
    require(
        is_valid_name(&config.name),
        "stream name is required and can not contain '.', '*', '>', '\\', '/'",
    )?;
    if config.name.len() > NAME_MAX {
        return Err(bad(format!("stream name is too long, maximum allowed is {NAME_MAX}")));
    }
    if config.description.len() > DESCRIPTION_MAX {
        return Err(bad(format!(
            "stream description is too long, maximum allowed is {DESCRIPTION_MAX}"
        )));
    }
    let metadata: usize = config.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if metadata > METADATA_MAX {
        return Err(bad(format!("stream metadata exceeds maximum size of {METADATA_MAX} bytes")));
    }
    if config.num_replicas > 5 {
        return Err(bad("maximum replicas is 5"));
    }
    if config.num_replicas < 0 {
        return Err(ApiError::ReplicasCountCannotBeNegative);
    }
    Ok(())
}

/// Zero means unlimited; anything below -1 is corrected to it.
fn fill_limits(config: &mut Config, pedantic: bool) -> Result<(), ApiError> {
    config.num_replicas = config.num_replicas.max(1);
    let mut size = i64::from(config.max_msg_size);
    for (value, name) in [
        (&mut config.max_msgs, "max_msgs"),
        (&mut config.max_msgs_per_subject, "max_msgs_per_subject"),
        (&mut config.max_bytes, "max_bytes"),
        (&mut size, "max_msg_size"),
        (&mut config.max_consumers, "max_consumers"),
    ] {
        if *value < -1 && pedantic {
            return Err(ApiError::pedantic(format!("{name} must be set to -1")));
        }
        if *value <= 0 {
            *value = -1;
        }
    }
    config.max_msg_size = i32::try_from(size).unwrap_or(i32::MAX);
    Ok(())
}

fn fill_window(config: &mut Config, pedantic: bool, limit: Option<i64>) -> Result<(), ApiError> {
    require(config.max_age >= 0, "max age can not be negative")?;
    require(
        config.max_age == 0 || config.max_age >= SHORTEST_SPAN,
        "max age needs to be >= 100ms",
    )?;
    let sourced = config.mirror.is_some() || !config.sources.is_empty();
    if config.duplicate_window == 0 && !sourced {
        let longest = limit.map_or(DUPLICATE_WINDOW, |limit| limit.min(DUPLICATE_WINDOW));
        if longest < DUPLICATE_WINDOW && pedantic {
            let text = "duplicate window limits are higher than current limits";
            return Err(ApiError::pedantic(text));
        }
        let aged = config.max_age != 0 && config.max_age < longest;
        if aged && pedantic {
            return Err(ApiError::pedantic("duplicate window cannot be bigger than max age"));
        }
        config.duplicate_window = if aged { config.max_age } else { longest };
    }
    let window = config.duplicate_window;
    require(window >= 0, "duplicates window can not be negative")?;
    if config.max_age != 0 && window > config.max_age {
        return Err(bad("duplicates window can not be larger then max age"));
    }
    if let Some(limit) = limit.filter(|limit| window > *limit) {
        let limit = go_duration(limit);
        return Err(bad(format!(
            "duplicates window can not be larger then server limit of {limit}"
        )));
    }
    require(window == 0 || window >= SHORTEST_SPAN, "duplicates window needs to be >= 100ms")
}

/// What counters do not go with (ADR-49).
fn check_counter(config: &Config) -> Result<(), ApiError> {
    if !config.allow_msg_counter {
        return Ok(());
    }
    require(config.discard != Discard::New, "counter stream cannot use discard new")?;
    require(!config.allow_msg_ttl, "counter stream cannot use message TTLs")?;
    require(!config.allow_msg_schedules, "counter stream cannot use message schedules")?;
    require(config.retention == Retention::Limits, "counter stream can only use limits retention")
}

fn check_discard(config: &Config) -> Result<(), ApiError> {
    if config.discard_new_per_subject {
        require(
            config.discard == Discard::New,
            "discard new per subject requires discard new policy to be set",
        )?;
        require(
            config.max_msgs_per_subject > 0,
            "discard new per subject requires max msgs per subject > 0",
        )?;
    }
    Ok(())
}

/// A marker TTL implies message TTLs and rollups (ADR-43).
fn fill_marker(config: &mut Config, pedantic: bool) -> Result<(), ApiError> {
    let ttl = config.subject_delete_marker_ttl;
    require(ttl >= 0, "subject delete marker TTL must not be negative")?;
    if ttl == 0 {
        return Ok(());
    }
    require(ttl >= SECOND, "subject delete marker TTL must be at least 1 second")?;
    require(
        config.allow_msg_ttl || !pedantic,
        "subject delete marker cannot be set if message TTLs are disabled",
    )?;
    config.allow_msg_ttl = true;
    fill_rollup(config, pedantic, "subject delete marker cannot be set if roll-ups are disabled")
}

/// Schedules imply rollups (ADR-51).
fn fill_schedules(config: &mut Config, pedantic: bool) -> Result<(), ApiError> {
    if !config.allow_msg_schedules {
        return Ok(());
    }
    require(config.discard != Discard::New, "message scheduling cannot use discard new")?;
    fill_rollup(config, pedantic, "message scheduling cannot be set if roll-ups are disabled")
}

fn fill_rollup(config: &mut Config, pedantic: bool, text: &'static str) -> Result<(), ApiError> {
    require(config.allow_rollup_hdrs || !pedantic, text)?;
    if !config.allow_rollup_hdrs {
        config.allow_rollup_hdrs = true;
        config.deny_purge = false;
    }
    Ok(())
}

fn check_persist_mode(config: &Config) -> Result<(), ApiError> {
    if config.persist_mode != PersistMode::Async {
        return Ok(());
    }
    require(
        config.storage == Storage::File,
        "async persist mode is only supported on file storage",
    )?;
    require(config.num_replicas <= 1, "async persist mode is not supported on replicated streams")?;
    require(!config.allow_atomic, "async persist mode is not supported with atomic batch publish")
}

fn check_placement(config: &mut Config) -> Result<(), ApiError> {
    if config.placement.as_ref().is_some_and(|placement| !placement.preferred.is_empty()) {
        return Err(bad("preferred server not permitted in placement"));
    }
    if config.placement == Some(Placement::default()) {
        config.placement = None;
    }
    Ok(())
}

fn check_subjects(config: &Config) -> Result<(), ApiError> {
    for (at, text) in config.subjects.iter().enumerate() {
        let pattern = text.as_bytes();
        require(subject::is_valid_subscription(pattern), "invalid subject")?;
        if !config.no_ack {
            require(pattern != b">", "capturing all subjects requires no-ack to be true")?;
            let reserved: [&[u8]; 3] = [b"$JS.>", b"$JSC.>", b"$NRG.>"];
            require(
                reserved.iter().all(|own| !subject::overlaps(pattern, own))
                    || subject::is_subset(pattern, b"$JS.EVENT.>"),
                "subjects that overlap with jetstream api require no-ack to be true",
            )?;
            require(
                !subject::overlaps(pattern, b"$SYS.>")
                    || subject::is_subset(pattern, b"$SYS.ACCOUNT.>"),
                "subjects that overlap with system api require no-ack to be true",
            )?;
        }
        for other in &config.subjects[at + 1..] {
            if subject::overlaps(pattern, other.as_bytes()) {
                return Err(bad(format!("subject \"{text}\" overlaps with \"{other}\"")));
            }
        }
    }
    Ok(())
}

/// What only a create refuses, before anything else.
///
/// # Errors
/// 10128 for a name with path separators; 10052 for a sealed stream, and for one that answers in
/// place of an origin that it does not have.
pub fn check_create(config: &Config) -> Result<(), ApiError> {
    if config.name.contains(['/', '\\']) {
        return Err(ApiError::StreamNameContainsPathSeparators);
    }
    require(!config.sealed, "stream configuration for create can not be sealed")?;
    require(
        !config.mirror_direct || config.mirror.is_some(),
        "stream has no mirror but does have mirror direct",
    )
}

/// Judges a change from `old` to `new` (both complete) and applies what sealing implies.
///
/// # Errors
/// 10052 with a text, or the numbers of jetstream.md 2.3.
pub fn check_update(old: &Config, mut new: Config) -> Result<Config, ApiError> {
    require(old.storage == new.storage, "stream configuration update can not change storage type")?;
    if old.retention != new.retention {
        require(
            old.retention != Retention::Workqueue && new.retention != Retention::Workqueue,
            "stream configuration update can not change retention policy to/from workqueue",
        )?;
    }
    require(
        !old.sealed || new.sealed,
        "stream configuration update can not unseal a sealed stream",
    )?;
    require(
        !old.deny_delete || new.deny_delete,
        "stream configuration update can not cancel deny message deletes",
    )?;
    require(
        !old.deny_purge || new.deny_purge,
        "stream configuration update can not cancel deny purge",
    )?;
    if new.mirror.is_some() && new.mirror != old.mirror {
        return Err(ApiError::StreamMirrorNotUpdatable);
    }
    require(!old.allow_msg_ttl || new.allow_msg_ttl, "message TTL status can not be disabled")?;
    require(
        old.allow_msg_counter == new.allow_msg_counter,
        "stream configuration update can not change message counter setting",
    )?;
    require(
        !old.allow_msg_schedules || new.allow_msg_schedules,
        "message schedules can not be disabled",
    )?;
    require(
        old.persist_mode == new.persist_mode,
        "stream configuration update can not change persist mode",
    )?;
    if new.sealed {
        new.max_age = 0;
        new.discard = Discard::New;
        new.deny_delete = true;
        new.deny_purge = true;
        new.allow_rollup_hdrs = false;
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::decode;

    fn parse(body: &str) -> Result<Config, ApiError> {
        parse_within(body, None)
    }

    fn parse_within(body: &str, window_limit: Option<i64>) -> Result<Config, ApiError> {
        let config: Config = decode(body.as_bytes(), true)?;
        check_create(&config)?;
        let around = Surroundings { window_limit, stream: &|_| None, bytes: &|_| Ok(()) };
        complete(config, &around)
    }

    fn refusal(body: &str) -> String {
        match parse(body) {
            Ok(config) => panic!("accepted {config:?}"),
            Err(error) => format!("{} {error}", error.err_code()),
        }
    }

    #[test]
    fn a_minimal_stream_gets_the_defaults_of_the_reference() {
        let config = parse(r#"{"name":"S","subjects":["s.>"]}"#).unwrap();
        let shown = super::super::meta::shown(&config, "2.15.1");
        // Observed on nats-server 2.15.1.
        let expected = r#"{"name":"S","subjects":["s.>"],"retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"max_msgs_per_subject":-1,"max_msg_size":-1,"discard":"old","storage":"file","num_replicas":1,"duplicate_window":120000000000,"compression":"none","allow_direct":false,"mirror_direct":false,"sealed":false,"deny_delete":false,"deny_purge":false,"allow_rollup_hdrs":false,"consumer_limits":{},"allow_msg_ttl":false,"metadata":{"_nats.level":"5","_nats.req.level":"0","_nats.ver":"2.15.1"}}"#;
        assert_eq!(serde_json::to_string(&shown).unwrap(), expected);
    }

    #[test]
    fn refusals_have_the_texts_of_the_reference() {
        for (body, expected) in [
            (r#"{"name":"a/b"}"#, "10128 Stream name can not contain path separators"),
            (
                r#"{"name":"S","num_replicas":2}"#,
                "10074 replicas > 1 not supported in non-clustered mode",
            ),
            (r#"{"name":"S","num_replicas":6}"#, "10052 maximum replicas is 5"),
            (r#"{"name":"S","num_replicas":-1}"#, "10133 replicas count cannot be negative"),
            (r#"{"name":"S","max_age":50000000}"#, "10052 max age needs to be >= 100ms"),
            (r#"{"name":"S","max_age":-1}"#, "10052 max age can not be negative"),
            (
                r#"{"name":"S","duplicate_window":1000000}"#,
                "10052 duplicates window needs to be >= 100ms",
            ),
            (
                r#"{"name":"S","max_age":1000000000,"duplicate_window":2000000000}"#,
                "10052 duplicates window can not be larger then max age",
            ),
            (
                r#"{"name":"S","max_age":1000000000,"pedantic":true}"#,
                "10157 pedantic mode: duplicate window cannot be bigger than max age",
            ),
            (
                r#"{"name":"S","max_msgs":-5,"pedantic":true}"#,
                "10157 pedantic mode: max_msgs must be set to -1",
            ),
            (
                r#"{"name":"S","subjects":["a.*","a.b"]}"#,
                r#"10052 subject "a.*" overlaps with "a.b""#,
            ),
            (r#"{"name":"S","subjects":["a..b"]}"#, "10052 invalid subject"),
            (
                r#"{"name":"S","subjects":[">"]}"#,
                "10052 capturing all subjects requires no-ack to be true",
            ),
            (
                r#"{"name":"S","subjects":["$JS.API.x"]}"#,
                "10052 subjects that overlap with jetstream api require no-ack to be true",
            ),
            (
                r#"{"name":"S","subjects":["$SYS.x"]}"#,
                "10052 subjects that overlap with system api require no-ack to be true",
            ),
            (
                r#"{"name":"S","discard_new_per_subject":true}"#,
                "10052 discard new per subject requires discard new policy to be set",
            ),
            (
                r#"{"name":"S","discard":"NEW","discard_new_per_subject":true}"#,
                "10052 discard new per subject requires max msgs per subject > 0",
            ),
            (
                r#"{"name":"S","deny_purge":true,"allow_rollup_hdrs":true}"#,
                "10052 roll-ups require the purge permission",
            ),
            (
                r#"{"name":"S","subject_delete_marker_ttl":500000000}"#,
                "10052 subject delete marker TTL must be at least 1 second",
            ),
            (
                r#"{"name":"S","subject_delete_marker_ttl":2000000000,"pedantic":true}"#,
                "10052 subject delete marker cannot be set if message TTLs are disabled",
            ),
            (
                r#"{"name":"S","mirror_direct":true}"#,
                "10052 stream has no mirror but does have mirror direct",
            ),
            (
                r#"{"name":"S","mirror":{"name":"O"},"subjects":["x"]}"#,
                "10034 stream mirrors can not contain subjects",
            ),
            (
                r#"{"name":"S","placement":{"preferred":"x"}}"#,
                "10052 preferred server not permitted in placement",
            ),
            (
                r#"{"name":"S","template_owner":"x"}"#,
                r#"10025 invalid JSON: json: unknown field "template_owner""#,
            ),
        ] {
            assert_eq!(refusal(body), expected, "{body}");
        }
    }

    #[test]
    fn what_is_corrected() {
        let config = parse(
            r#"{"name":"S","max_age":1000000000,"placement":{},"metadata":{"_nats.x":"1","a":"b"}}"#,
        );
        let config = config.unwrap();
        assert_eq!(config.duplicate_window, SECOND);
        assert_eq!(config.placement, None);
        assert_eq!(config.metadata.keys().collect::<Vec<_>>(), ["_nats.req.level", "_nats.x", "a"]);
        let config =
            parse(r#"{"name":"S","subject_delete_marker_ttl":2000000000,"deny_purge":true}"#)
                .unwrap();
        assert!(config.allow_msg_ttl && config.allow_rollup_hdrs && !config.deny_purge);
        for subject in ["*", "$KV.x", "$JS.EVENT.ADVISORY.>", "$SYS.ACCOUNT.A.>"] {
            parse(&format!(r#"{{"name":"S","subjects":["{subject}"]}}"#)).unwrap();
        }
    }

    #[test]
    fn the_servers_window_limit_is_both_default_and_limit() {
        let config = |body: &str| parse_within(body, Some(60 * SECOND));
        assert_eq!(config(r#"{"name":"S"}"#).unwrap().duplicate_window, 60 * SECOND);
        let error = config(r#"{"name":"S","duplicate_window":120000000000}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "duplicates window can not be larger then server limit of 1m0s"
        );
    }

    #[test]
    fn updates_refuse_what_can_not_be_undone() {
        let base = r#"{"name":"S","deny_delete":true,"deny_purge":true,"allow_msg_ttl":true}"#;
        let old = parse(base).unwrap();
        for (body, expected) in [
            (
                r#"{"name":"S","storage":"memory"}"#,
                "stream configuration update can not change storage type",
            ),
            (r#"{"name":"S"}"#, "stream configuration update can not cancel deny message deletes"),
            (
                r#"{"name":"S","deny_delete":true}"#,
                "stream configuration update can not cancel deny purge",
            ),
            (
                r#"{"name":"S","deny_delete":true,"deny_purge":true}"#,
                "message TTL status can not be disabled",
            ),
        ] {
            let error = check_update(&old, parse(body).unwrap()).unwrap_err();
            assert_eq!((error.err_code(), error.to_string().as_str()), (10052, expected));
        }
        let mut sealed = old.clone();
        sealed.sealed = true;
        let sealed = check_update(&old, sealed).unwrap();
        assert_eq!(sealed.discard, Discard::New);
        let error = check_update(&sealed, old).unwrap_err();
        assert_eq!(error.to_string(), "stream configuration update can not unseal a sealed stream");
    }
}
