//! What Go's JSON accepts and serde's does not by itself: `null` for an absent list or object, and a
//! comma-separated text for a list.

use serde::{Deserialize, Deserializer};

/// `null` counts as absent.
pub(super) fn null_is_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ListOrText {
    List(Vec<String>),
    Text(String),
}

/// A list of texts, or one text with commas, as version 1 wrote networks.
pub(super) fn list_or_text<'de, D>(from: D) -> Result<Vec<String>, D::Error>
where
    D: Deserializer<'de>,
{
    Ok(match Option::deserialize(from)? {
        None => Vec::new(),
        Some(ListOrText::List(list)) => list,
        Some(ListOrText::Text(text)) => text
            .split(',')
            .map(|part| part.trim().to_owned())
            .filter(|part| !part.is_empty())
            .collect(),
    })
}

pub(super) fn is_false(flag: &bool) -> bool {
    !*flag
}

pub(super) fn is_zero(number: &i64) -> bool {
    *number == 0
}
