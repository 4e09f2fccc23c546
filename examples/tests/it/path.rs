//! `docs/path.md` shows what the programs really say, and the small steps are small.

use std::path::{Path, PathBuf};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// A program's lines without its opening comment.
fn lines(file: &str) -> Vec<String> {
    let path = examples().join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    text.lines().filter(|line| !line.starts_with("//!")).map(str::to_owned).collect()
}

/// Lines to remove from `a` and to add for `b`: what `diff` counts.
fn changed(a: &[String], b: &[String]) -> usize {
    let mut common = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for (i, left) in a.iter().enumerate().rev() {
        for (j, right) in b.iter().enumerate().rev() {
            common[i][j] = if left == right {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    a.len() + b.len() - 2 * common[0][0]
}

#[test]
fn the_small_steps_change_at_most_forty_lines() {
    for (from, to) in [("01_simple", "02_creds"), ("07_connector", "08_logging")] {
        for side in ["publisher", "subscriber"] {
            let (a, b) = (lines(&format!("{from}/{side}.rs")), lines(&format!("{to}/{side}.rs")));
            let count = changed(&a, &b);
            assert!(count <= 40, "{from} to {to} {side}: {count} lines");
        }
    }
}

/// Each block names its files in a comment above it: `<!-- 01_simple/publisher.rs -> .. -->`.
#[test]
fn the_differences_shown_are_those_of_the_programs() {
    let page = std::fs::read_to_string(examples().join("../docs/path.md")).unwrap();
    let mut blocks = 0;
    let mut files: Option<(Vec<String>, Vec<String>)> = None;
    let mut inside = false;
    for line in page.lines() {
        if let Some(names) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) {
            let (from, to) = names.split_once(" -> ").unwrap();
            files = Some((lines(from), lines(to)));
        } else if line == "```diff" {
            (inside, blocks) = (true, blocks + 1);
        } else if line.starts_with("```") {
            inside = false;
        } else if inside && !line.trim().is_empty() {
            let (from, to) = files.as_ref().unwrap();
            let (sign, text) = line.split_at(1);
            let has = |lines: &[String]| lines.iter().any(|line| line.trim() == text.trim());
            let holds = match sign {
                "+" => has(to) && !has(from),
                "-" => has(from) && !has(to),
                " " => has(from) && has(to),
                _ => false,
            };
            assert!(holds, "not in the programs: {line}");
        }
    }
    assert!(blocks >= 7, "one block for each arrow, at least");
}
