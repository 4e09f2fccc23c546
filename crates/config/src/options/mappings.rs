//! `mappings`: where messages on a subject go instead.

use super::decode::Decoder;
use super::{MapDestination, Mapping};
use crate::language::{Entry, Kind, Map, Position};
use crate::names;
use natterjack_subject::Transform;

pub(super) fn mappings(d: &mut Decoder<'_>, entry: &Entry) -> Vec<Mapping> {
    let mut mappings = Vec::new();
    for item in d.map(entry).into_iter().flat_map(Map::iter) {
        if !names::is_subject(&item.key) {
            let text = format!("Subject {:?} is not a valid subject", item.key);
            d.error(&entry.value.position, text);
            continue;
        }
        let position = item.value.position.clone();
        let destinations = destinations(d, item);
        let total: u32 = destinations.iter().map(|to| u32::from(to.weight)).sum();
        if total > 100 {
            let source = &item.key;
            let text =
                format!("Error adding mapping for {source:?} : total weight needs to be <= 100");
            d.error(&position, text);
        }
        for to in &destinations {
            check_transform(d, &item.key, to, &position);
        }
        mappings.push(Mapping { source: item.key.clone(), destinations, position });
    }
    mappings
}

/// The transform is built again by whoever maps; here its errors get their place.
fn check_transform(d: &mut Decoder<'_>, source: &str, to: &MapDestination, position: &Position) {
    if let Err(error) = Transform::new(source, &to.destination) {
        let (source, destination) = (names::quote(source), names::quote(&to.destination));
        let text = format!("Error adding mapping for {source} to {destination} : {error}");
        d.error(position, text);
    }
}

fn destinations(d: &mut Decoder<'_>, entry: &Entry) -> Vec<MapDestination> {
    match &entry.value.kind {
        Kind::String(text) => {
            let destination = text.to_string();
            vec![MapDestination { destination, weight: 100, cluster: String::new() }]
        }
        Kind::Map(map) => destination(d, map, &entry.value.position).into_iter().collect(),
        Kind::Array(items) => {
            let mut destinations = Vec::new();
            for item in items.iter() {
                match &item.kind {
                    Kind::Map(map) => destinations.extend(destination(d, map, &item.position)),
                    _ => d.error(&item.position, "Expected an entry for the mapping destination"),
                }
            }
            destinations
        }
        _ => {
            d.error(&entry.value.position, "Expected an entry for the mapping destination");
            Vec::new()
        }
    }
}

fn destination(d: &mut Decoder<'_>, map: &Map, position: &Position) -> Option<MapDestination> {
    let mut to = MapDestination { destination: String::new(), weight: 0, cluster: String::new() };
    let mut has_weight = false;
    for item in map.iter() {
        match item.key.to_ascii_lowercase().as_str() {
            "dest" | "destination" => to.destination = d.string(item)?,
            "cluster" => to.cluster = d.string(item)?,
            "weight" => {
                has_weight = true;
                to.weight = weight(d, item)?;
            }
            _ => d.unknown_with(item, |key| format!("Unknown field {key} for mapping destination")),
        }
    }
    if to.destination.is_empty() {
        d.error(position, "Missing destination in mapping");
        return None;
    }
    if !has_weight {
        let text = format!("Missing weight for mapping destination {:?}", to.destination);
        d.error(position, text);
        return None;
    }
    Some(to)
}

/// `50` or `"50%"`.
fn weight(d: &mut Decoder<'_>, entry: &Entry) -> Option<u8> {
    let (weight, shown) = match &entry.value.kind {
        Kind::Integer(number) => (u8::try_from(*number).ok(), number.to_string()),
        Kind::String(text) => (text.trim_end_matches('%').trim().parse().ok(), format!("{text:?}")),
        kind => {
            let text = format!("Unknown entry type for weight: {}", kind.noun());
            d.error(&entry.value.position, text);
            return None;
        }
    };
    match weight {
        Some(weight) if weight <= 100 => Some(weight),
        _ => {
            let text = format!("Invalid weight {shown} for mapping destination");
            d.error(&entry.value.position, text);
            None
        }
    }
}
