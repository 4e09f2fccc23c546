//! README.md and README.ru.md tell the same: headings of the same depth in the same order, and blocks
//! of commands and code that are the same to the byte.

use std::path::Path;

use anyhow::{Context, Result};

const ENGLISH: &str = "README.md";
const RUSSIAN: &str = "README.ru.md";

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let read = |name: &str| {
        std::fs::read_to_string(root.join(name)).with_context(|| format!("reading {name}"))
    };
    Ok(compare(&read(ENGLISH)?, &read(RUSSIAN)?))
}

fn compare(english: &str, russian: &str) -> Vec<String> {
    let (english, russian) = (Outline::of(english), Outline::of(russian));
    let mut faults = Vec::new();
    for (index, english) in english.headings.iter().enumerate() {
        match russian.headings.get(index) {
            Some(russian) if depth(russian) == depth(english) => {}
            Some(russian) => faults
                .push(format!("{RUSSIAN}: {russian:?} stands where {ENGLISH} has {english:?}")),
            None => faults.push(format!("{RUSSIAN} has no heading for {english:?}")),
        }
    }
    for heading in russian.headings.iter().skip(english.headings.len()) {
        faults.push(format!("{ENGLISH} has no heading for {heading:?}"));
    }
    for (index, english) in english.blocks.iter().enumerate() {
        if russian.blocks.get(index) != Some(english) {
            let first = english.lines().nth(1).unwrap_or_default();
            faults.push(format!("{RUSSIAN}: block {} (`{first}`) differs", index + 1));
        }
    }
    if russian.blocks.len() > english.blocks.len() {
        faults.push(format!("{RUSSIAN} has more blocks than {ENGLISH}"));
    }
    faults
}

fn depth(heading: &str) -> usize {
    heading.bytes().take_while(|byte| *byte == b'#').count()
}

/// What the two files must share.
#[derive(Default)]
struct Outline {
    headings: Vec<String>,
    blocks: Vec<String>,
}

impl Outline {
    fn of(text: &str) -> Self {
        let mut outline = Self::default();
        let mut block: Option<String> = None;
        for line in text.lines() {
            let fence = line.trim_start().starts_with("```");
            match block.take() {
                Some(open) => {
                    let open = format!("{open}{line}\n");
                    if fence {
                        outline.blocks.push(open);
                    } else {
                        block = Some(open);
                    }
                }
                None if fence => block = Some(format!("{line}\n")),
                None if line.starts_with('#') => outline.headings.push(line.to_owned()),
                None => {}
            }
        }
        outline.blocks.extend(block);
        outline
    }
}

#[cfg(test)]
mod tests {
    use super::compare;

    const ENGLISH: &str = "# A\n\n```sh\n# not a heading\nls\n```\n\n## B\n";

    #[test]
    fn a_translation_has_the_same_outline() {
        assert_eq!(compare(ENGLISH, &ENGLISH.replace("# A", "# А").replace("B", "Б")), [""; 0]);
    }

    #[test]
    fn differences_are_named() {
        let cases = [
            (ENGLISH.replace("ls", "dir"), "README.ru.md: block 1 (`# not a heading`) differs"),
            (
                ENGLISH.replace("## B", "### Б"),
                "README.ru.md: \"### Б\" stands where README.md has \"## B\"",
            ),
            (ENGLISH.replace("## B", ""), "README.ru.md has no heading for \"## B\""),
            (format!("{ENGLISH}## В\n"), "README.md has no heading for \"## В\""),
            (format!("{ENGLISH}```\n```\n"), "README.ru.md has more blocks than README.md"),
        ];
        for (russian, wanted) in cases {
            assert_eq!(compare(ENGLISH, &russian), [wanted]);
        }
    }
}
