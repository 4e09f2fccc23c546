//! What a configuration may say of the streams that a mirror or a source takes its messages from
//! (jetstream.md 2.10; nats-server 2.15.1).

use std::collections::BTreeSet;

use natterjack_subject::{is_subset, is_valid_literal, is_valid_subscription, overlaps};

use super::config::{Config, External, Source, SourceConsumer, Transform};
use super::rules::{Fault, mapping_fault};
use super::validate::is_valid_name;
use crate::error::ApiError;

const API_PREFIX: &str = "$JS.API";

type Lookup<'a> = &'a dyn Fn(&str) -> Option<Config>;

/// Checks mirror and sources; `stream` gives the configuration of another stream of the account. A
/// mirror takes `mirror_direct` over from an origin that is known.
///
/// # Errors
/// What jetstream.md 2.10 lists for each rule; 10157 where a pedantic request says otherwise than its
/// origin.
pub(super) fn check(
    config: &mut Config,
    pedantic: bool,
    stream: Lookup<'_>,
) -> Result<(), ApiError> {
    if config.mirror.is_none() && config.sources.is_empty() {
        return Ok(());
    }
    check_mirror(config, stream)?;
    if let Some(origin) = config.mirror.as_ref().filter(|mirror| mirror.external.is_none())
        && let Some(origin) = stream(&origin.name)
    {
        if pedantic && config.mirror_direct != origin.allow_direct {
            let text = "origin stream has direct get set, mirror has it disabled";
            return Err(ApiError::pedantic(text));
        }
        config.mirror_direct = origin.allow_direct;
    }
    check_sources(config, stream)?;
    check_external(config, stream)?;
    check_cycle(config, stream)
}

/// 10049 for a filter that is no subject, which a create looks at after all else.
///
/// # Errors
/// 10049.
pub(crate) fn check_filters(config: &Config) -> Result<(), ApiError> {
    let is_bad = |source: &&Source| {
        source.subject_transforms.is_empty()
            && !source.filter_subject.is_empty()
            && !is_valid_subscription(source.filter_subject.as_bytes())
    };
    let create = |err: String| Err(ApiError::StreamCreate { err: err.into() });
    if let Some(bad) = config.mirror.iter().find(is_bad) {
        let filter = &bad.filter_subject;
        return create(format!("subject filter '{filter}' for the mirror invalid subject"));
    }
    match config.sources.iter().find(is_bad) {
        Some(bad) => {
            let filter = &bad.filter_subject;
            create(format!("subject filter '{filter}' for the source: invalid subject"))
        }
        None => Ok(()),
    }
}

fn check_mirror(config: &Config, stream: Lookup<'_>) -> Result<(), ApiError> {
    let Some(mirror) = &config.mirror else { return Ok(()) };
    let refused = [
        (config.first_seq > 0, ApiError::MirrorWithFirstSeq),
        (!config.subjects.is_empty(), ApiError::MirrorWithSubjects),
        (!config.sources.is_empty(), ApiError::MirrorWithSources),
        (config.allow_msg_counter, ApiError::MirrorWithCounters),
        (config.allow_atomic, ApiError::MirrorWithAtomicPublish),
        (config.allow_batched, ApiError::MirrorWithBatchPublish),
        (config.allow_msg_schedules, ApiError::MirrorWithMsgSchedules),
        (is_bad_consumer(mirror), ApiError::MirrorDurableConsumerCfgInvalid),
        (has_two_filters(mirror), ApiError::MirrorMultipleFiltersNotAllowed),
        (
            config.subject_delete_marker_ttl > 0,
            ApiError::invalid_config("subject delete markers forbidden on mirrors"),
        ),
    ];
    if let Some((_, error)) = refused.into_iter().find(|(broken, _)| *broken) {
        return Err(error);
    }
    let transforms = &mirror.subject_transforms;
    for (at, transform) in transforms.iter().enumerate() {
        match mapping_fault(transform) {
            Some(Fault::Source(err)) => {
                return Err(ApiError::MirrorInvalidSubjectFilter { err: err.into() });
            }
            Some(Fault::Destination(err)) => {
                return Err(ApiError::MirrorInvalidTransformDestination { err: err.into() });
            }
            None => {}
        }
        let collides = |(other, second): (usize, &Transform)| {
            other != at && overlaps(transform.src.as_bytes(), second.src.as_bytes())
        };
        if transforms.iter().enumerate().any(collides) {
            return Err(ApiError::MirrorOverlappingSubjectFilters);
        }
    }
    if mirror.external.is_some() {
        return Ok(());
    }
    if !is_valid_name(&mirror.name) {
        return Err(ApiError::MirrorInvalidStreamName);
    }
    if takes_less(config, stream(&mirror.name)) {
        return Err(ApiError::MirrorMaxMessageSizeTooBig);
    }
    Ok(())
}

fn check_sources(config: &Config, stream: Lookup<'_>) -> Result<(), ApiError> {
    if !config.sources.is_empty() && config.allow_msg_schedules {
        return Err(ApiError::SourceWithMsgSchedules);
    }
    let (mut names, mut consumers) = (BTreeSet::new(), BTreeSet::new());
    for source in &config.sources {
        if !is_valid_name(&source.name) {
            return Err(ApiError::SourceInvalidStreamName);
        }
        if !names.insert(identity(source)) {
            return Err(ApiError::SourceDuplicateDetected);
        }
        if has_two_filters(source) {
            return Err(ApiError::SourceMultipleFiltersNotAllowed);
        }
        let transforms = &source.subject_transforms;
        match transforms.iter().find_map(mapping_fault) {
            Some(Fault::Source(err)) => {
                return Err(ApiError::SourceInvalidSubjectFilter { err: err.into() });
            }
            Some(Fault::Destination(err)) => {
                return Err(ApiError::SourceInvalidTransformDestination { err: err.into() });
            }
            None => {}
        }
        for (at, one) in transforms.iter().enumerate() {
            let within = |(other, second): (usize, &Transform)| {
                other != at && is_subset(one.src.as_bytes(), second.src.as_bytes())
            };
            if transforms.iter().enumerate().any(within) {
                return Err(ApiError::SourceOverlappingSubjectFilters);
            }
        }
        if let Some(consumer) = &source.consumer {
            if is_bad_consumer(source) {
                return Err(ApiError::SourceDurableConsumerCfgInvalid);
            }
            if !consumers.insert((&source.name, api_prefix(source), &consumer.name)) {
                return Err(ApiError::SourceDurableConsumerDuplicateDetected);
            }
        }
        if source.external.is_none() && takes_less(config, stream(&source.name)) {
            return Err(ApiError::SourceMaxMessageSizeTooBig);
        }
    }
    Ok(())
}

/// What makes a source the same as another: its stream, and what of it is taken.
fn identity(source: &Source) -> (&str, &str, Vec<&str>, Vec<&str>) {
    let transforms = &source.subject_transforms;
    let (mut from, mut to): (Vec<&str>, Vec<&str>) =
        transforms.iter().map(|rule| (rule.src.as_str(), rule.dest.as_str())).unzip();
    if transforms.is_empty() {
        from.push(&source.filter_subject);
        to.push("");
    }
    (&source.name, api_prefix(source), from, to)
}

fn api_prefix(source: &Source) -> &str {
    source.external.as_ref().map_or("", |external| &external.api)
}

fn has_two_filters(source: &Source) -> bool {
    !source.filter_subject.is_empty() && !source.subject_transforms.is_empty()
}

/// A consumer that an operator made says itself where it starts and what it filters.
fn is_bad_consumer(source: &Source) -> bool {
    let Some(SourceConsumer { name, deliver_subject }) = &source.consumer else { return false };
    !is_valid_name(name)
        || !is_valid_literal(deliver_subject.as_bytes())
        || source.opt_start_seq != 0
        || source.opt_start_time.is_some()
        || !source.filter_subject.is_empty()
}

/// True when the origin holds messages that are too large for the stream.
fn takes_less(config: &Config, origin: Option<Config>) -> bool {
    let own = config.max_msg_size;
    origin.is_some_and(|origin| own > 0 && origin.max_msg_size > own)
}

fn check_external(config: &Config, stream: Lookup<'_>) -> Result<(), ApiError> {
    let origins = || config.mirror.iter().chain(&config.sources);
    let externals = || origins().filter_map(|origin| origin.external.as_ref());
    let local = || origins().filter(|origin| origin.external.is_none());
    let subjects: Vec<String> =
        local().filter_map(|origin| stream(&origin.name)).flat_map(|own| own.subjects).collect();
    for External { deliver: prefix, .. } in externals().filter(|own| !own.deliver.is_empty()) {
        if !is_valid_literal(prefix.as_bytes()) {
            let prefix = prefix.clone().into();
            return Err(ApiError::StreamInvalidExternalDeliverySubj { prefix });
        }
        for subject in &subjects {
            if overlaps(subject.as_bytes(), format!("{prefix}.{subject}").as_bytes()) {
                let (prefix, subject) = (prefix.clone().into(), subject.clone().into());
                return Err(ApiError::StreamExternalDelPrefixOverlaps { prefix, subject });
            }
        }
    }
    for External { api: prefix, .. } in externals().filter(|own| !own.api.is_empty()) {
        if !is_valid_literal(prefix.as_bytes()) {
            let shown = crate::json::go_quote(prefix);
            return Err(ApiError::invalid_config(format!(
                "stream external api prefix {shown} must be a valid subject without wildcards"
            )));
        }
        if prefix == API_PREFIX {
            let (prefix, subject) = (prefix.clone().into(), API_PREFIX.into());
            return Err(ApiError::StreamExternalApiOverlap { prefix, subject });
        }
    }
    Ok(())
}

/// A stream that takes its own messages over others would grow for ever.
fn check_cycle(config: &Config, stream: Lookup<'_>) -> Result<(), ApiError> {
    let mut visited = BTreeSet::new();
    let mut next = vec![config.clone()];
    while let Some(config) = next.pop() {
        if !visited.insert(config.name.clone()) {
            continue;
        }
        let takes = |filter: &str| {
            let subjects = &config.subjects;
            filter.is_empty()
                || subjects.iter().any(|own| overlaps(own.as_bytes(), filter.as_bytes()))
        };
        let local = |origin: &&Source| origin.external.is_none();
        for source in config.sources.iter().filter(local) {
            if !visited.contains(&source.name) {
                next.extend(stream(&source.name));
            } else if takes(&source.filter_subject) {
                return Err(ApiError::invalid_config("detected cycle"));
            }
        }
        if let Some(mirror) = config.mirror.as_ref().filter(local) {
            if visited.contains(&mirror.name) {
                return Err(ApiError::invalid_config("detected cycle"));
            }
            next.extend(stream(&mirror.name));
        }
    }
    Ok(())
}
