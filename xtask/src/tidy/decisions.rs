//! Decision records: numbered without gaps, of one form, and there when something refers to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::text;

/// The headings of each record, after NATS's `adr-template.md`, with the alternatives refused.
const HEADINGS: &[&str] = &[
    "## Context and Problem Statement",
    "## Decision",
    "## Alternatives Refused",
    "## Consequences",
];

pub(super) fn check(root: &Path, files: &[PathBuf]) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let mut records: BTreeMap<u32, String> = BTreeMap::new();
    for entry in std::fs::read_dir(root.join("docs/decisions"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        match name.get(..4).and_then(|number| number.parse().ok()) {
            Some(number) if name.ends_with(".md") => {
                records.insert(number, name);
            }
            _ if name == "README.md" => {}
            _ => faults.push(format!("docs/decisions/{name}: name it NNNN-what.md")),
        }
    }
    for (wanted, (number, name)) in (1..).zip(&records) {
        if *number != wanted {
            faults.push(format!("docs/decisions/{name}: number {wanted:04} comes next"));
            break;
        }
    }
    for name in records.values() {
        let record = text(&Path::new("docs/decisions").join(name))?;
        for heading in HEADINGS {
            if !record.lines().any(|line| line == *heading) {
                faults.push(format!("docs/decisions/{name}: has no \"{heading}\""));
            }
        }
    }
    for path in files {
        let extension = path.extension().and_then(|extension| extension.to_str());
        // This program's own examples are no references.
        if !matches!(extension, Some("rs" | "md" | "case")) || path.starts_with("xtask") {
            continue;
        }
        for (number, line) in (1..).zip(text(path)?.lines()) {
            for record in references(line) {
                if !records.contains_key(&record) {
                    faults.push(format!("{}:{number}: no record D-{record:04}", path.display()));
                }
            }
        }
    }
    Ok(faults)
}

/// The records that a line names, as in `D-0003`.
fn references(line: &str) -> impl Iterator<Item = u32> {
    let places = line.match_indices("D-").map(|(place, _)| place);
    places.filter_map(|place| {
        let before = line[..place].bytes().next_back();
        let digits = line.get(place + 2..place + 6)?;
        let after = line.as_bytes().get(place + 6);
        let whole = !before.is_some_and(|byte| byte.is_ascii_alphanumeric())
            && !after.is_some_and(u8::is_ascii_alphanumeric);
        (whole && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| digits.parse().ok())
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::references;

    #[test]
    fn a_reference_is_four_digits() {
        for (line, wanted) in [
            ("see D-0003 and (D-0012)", &[3, 12][..]),
            ("differs: D-0003", &[3]),
            ("AND-0003 D-003 D-00033 D-", &[]),
        ] {
            assert_eq!(references(line).collect::<Vec<_>>(), wanted, "{line}");
        }
    }
}
