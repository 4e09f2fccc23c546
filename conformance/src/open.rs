//! Why capabilities are open: what the table says beside those that have no tick.

use std::collections::BTreeMap;
use std::path::Path;

/// The reason for each open capability, by its id.
pub type Reasons = BTreeMap<String, String>;

/// Parses lines of ids and a reason, separated by a tab. Ids are separated by blanks; `C-169..C-199` is a
/// range.
///
/// # Errors
/// A line has no reason, an id is none, or an id stands twice.
pub fn parse(text: &str) -> Result<Reasons, String> {
    let mut reasons = Reasons::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (ids, why) = line.split_once('\t').ok_or(format!("no reason: {line:?}"))?;
        for id in expand(ids)? {
            if reasons.insert(id.clone(), why.trim().to_owned()).is_some() {
                return Err(format!("{id} stands twice"));
            }
        }
    }
    Ok(reasons)
}

fn expand(ids: &str) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for word in ids.split_whitespace() {
        let (first, last) = word.split_once("..").unwrap_or((word, word));
        let bad = || format!("{word:?} is no id");
        let number = |id: &str| {
            let (list, number) = id.split_once('-')?;
            Some((list.to_owned(), number.parse::<u32>().ok()?))
        };
        let ((list, from), (same, to)) =
            (number(first).ok_or_else(bad)?, number(last).ok_or_else(bad)?);
        if list != same || from > to {
            return Err(bad());
        }
        all.extend((from..=to).map(|number| format!("{list}-{number:03}")));
    }
    Ok(all)
}

/// Reads the reasons of a directory of lists.
///
/// # Errors
/// The file is missing or malformed.
pub fn load(directory: &Path) -> Result<Reasons, String> {
    let path = directory.join("open.tsv");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    parse(&text).map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_ranges_have_a_reason() {
        let reasons = parse("# why\nC-009..C-011 J-001\tlater\nC-001\tnever\n").unwrap();
        let ids: Vec<&str> = reasons.keys().map(String::as_str).collect();
        assert_eq!(ids, ["C-001", "C-009", "C-010", "C-011", "J-001"]);
        assert_eq!((&*reasons["C-010"], &*reasons["C-001"]), ("later", "never"));
        for wrong in
            ["C-001", "C-1x\twhy", "C-002..C-001\twhy", "C-001..J-002\twhy", "C-001 C-001\ta"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
