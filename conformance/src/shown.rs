//! What the tests of the workspace show of the capabilities: those in the list for users, and those of the
//! servers that no exchange with two servers can show, such as what becomes of damaged files, or what only
//! our server promises. What an exchange can show is shown by cases, on both.
//!
//! A test names them in one comment line right above it, attributes in between or not:
//!
//! ```text
//! // Shows U-001, U-057.
//! // Shows a part of U-003.
//! // Shows U-001, U-057; a part of U-003.
//! ```
//!
//! Tests that show the same capability show the whole of it together; a part says that something of it is
//! shown by no test. A line that begins like this and is not of this form, that has no test below, or whose
//! test does not run everywhere, is an error.

use std::collections::BTreeSet;
use std::path::Path;

use crate::table::Capability;

/// The list whose capabilities are shown by tests alone.
pub(crate) const LIST: &str = "For users";

/// Where tests are looked for.
const FOLDERS: [&str; 3] = ["crates", "examples", "xtask"];

const BEGIN: &str = "// Shows ";
const PART: &str = "a part of ";

/// Conditions that hold wherever `.ci/run` does.
const EVERYWHERE: [&str; 2] = ["#[cfg(unix)]", "#[cfg(target_os = \"linux\")]"];

/// A test that names capabilities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Test {
    /// File and name of the function.
    pub name: String,
    /// Capabilities that it shows, alone or together with others.
    pub shows: Vec<String>,
    /// Capabilities of which a part stays unshown.
    pub partly: Vec<String>,
}

/// The tests below the root of the repository that name capabilities.
///
/// # Errors
/// A file cannot be read, or a line is wrong; with file and line.
pub fn load(root: &Path) -> Result<Vec<Test>, String> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        sources(&root.join(folder), &mut files)?;
    }
    files.sort();
    let mut tests = Vec::new();
    for file in files {
        let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{shown}: {e}"))?;
        tests.extend(parse(&shown, &text)?);
    }
    Ok(tests)
}

fn sources(directory: &Path, files: &mut Vec<std::path::PathBuf>) -> Result<(), String> {
    let at = |e: std::io::Error| format!("{}: {e}", directory.display());
    for entry in std::fs::read_dir(directory).map_err(at)? {
        let path = entry.map_err(at)?.path();
        if path.is_dir() {
            sources(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// The tests of one source file.
///
/// # Errors
/// As for [`load`].
pub fn parse(file: &str, text: &str) -> Result<Vec<Test>, String> {
    let mut tests = Vec::new();
    let mut lines = (1_usize..).zip(text.lines().map(str::trim));
    while let Some((number, line)) = lines.next() {
        let Some(named) = line.strip_prefix(BEGIN).filter(|rest| names(rest)) else { continue };
        let at = |fault: String| format!("{file}:{number}: {fault}");
        let (shows, partly) = capabilities(named).map_err(at)?;
        let function = function_below(&mut lines).map_err(at)?;
        tests.push(Test { name: format!("{file} {function}"), shows, partly });
    }
    Ok(tests)
}

/// Whether the comment is about capabilities, and not prose that begins with the same word.
fn names(rest: &str) -> bool {
    let first = rest.strip_prefix(PART).unwrap_or(rest);
    let mut characters = first.chars();
    characters.next().is_some_and(|c| c.is_ascii_uppercase()) && characters.next() == Some('-')
}

fn capabilities(named: &str) -> Result<(Vec<String>, Vec<String>), String> {
    let list = named.strip_suffix('.').ok_or("no full stop at the end of what is shown")?;
    let (shows, partly) = match (list.strip_prefix(PART), list.split_once("; a part of ")) {
        (Some(partly), _) => ("", partly),
        (None, Some(both)) => both,
        (None, None) => (list, ""),
    };
    let ids = |list: &str| -> Result<Vec<String>, String> {
        let ids: Vec<&str> = list.split(", ").filter(|_| !list.is_empty()).collect();
        match ids.iter().find(|id| !crate::parse::is_capability(id)) {
            Some(bad) => Err(format!("{bad:?} is not a capability id")),
            None => Ok(ids.into_iter().map(str::to_owned).collect()),
        }
    };
    let (shows, partly) = (ids(shows)?, ids(partly)?);
    let all: BTreeSet<&String> = shows.iter().chain(&partly).collect();
    if all.len() < shows.len() + partly.len() {
        return Err("a capability stands here twice".into());
    }
    Ok((shows, partly))
}

/// The name of the test function that follows, after nothing but attributes.
fn function_below<'a>(
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
) -> Result<String, String> {
    let mut is_test = false;
    while let Some((_, line)) = lines.next() {
        let Some(attribute) = line.strip_prefix("#[") else {
            let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
            let name = function.and_then(|rest| rest.split_once('(')).filter(|_| is_test);
            return name.map(|(name, _)| name.to_owned()).ok_or("no test below".into());
        };
        let mut last = line;
        while !last.ends_with(']') {
            last = lines.next().ok_or("an attribute without an end below")?.1;
        }
        let path = attribute.split(['(', ']', ' ']).next().unwrap_or_default();
        match path {
            "test" | "tokio::test" => is_test = true,
            "ignore" => return Err("the test below is ignored".into()),
            "cfg" | "cfg_attr" if !EVERYWHERE.contains(&line) => {
                return Err("the test below does not run everywhere".into());
            }
            _ => {}
        }
    }
    Err("no test below".into())
}

/// What tests name and no list has.
#[must_use]
pub fn unknown(tests: &[Test], lists: &[(&str, Vec<Capability>)]) -> BTreeSet<String> {
    let all = lists.iter().flat_map(|(_, list)| list);
    let known: BTreeSet<&str> = all.map(|c| c.id.as_str()).collect();
    let named = tests.iter().flat_map(|test| test.shows.iter().chain(&test.partly));
    named.filter(|id| !known.contains(id.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Test>, String> {
        parse("a.rs", text)
    }

    fn fault(text: &str) -> String {
        read(text).unwrap_err()
    }

    #[test]
    fn a_test_names_what_it_shows() {
        let text = "// Shows how prose begins.\nfn x() {}\n\n    // Shows U-001, U-002; a part of U-003.\n\
                    \x20   #[cfg(unix)]\n    #[expect(\n        clippy::x\n    )]\n    #[test]\n    fn one() {}\n\
                    // Shows a part of U-004.\n#[tokio::test(flavor = \"current_thread\")]\nasync fn two() {}\n";
        let tests = read(text).unwrap();
        assert_eq!(tests.len(), 2);
        assert_eq!((&*tests[0].name, tests[0].shows.len()), ("a.rs one", 2));
        assert_eq!(tests[0].partly, ["U-003"]);
        assert_eq!((&*tests[1].name, tests[1].shows.len()), ("a.rs two", 0));
        assert_eq!(tests[1].partly, ["U-004"]);
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        let above = |line: &str| format!("{line}\n#[test]\nfn a() {{}}\n");
        assert!(fault(&above("// Shows U-001")).contains("full stop"));
        assert!(fault(&above("// Shows U-001 U-002.")).contains("not a capability"));
        assert!(fault(&above("// Shows U-1.")).contains("not a capability"));
        assert!(fault(&above("// Shows U-001; a part of U-001.")).contains("twice"));
        assert_eq!(fault("\n// Shows U-001.\nfn a() {}\n"), "a.rs:2: no test below");
        assert!(fault("// Shows U-001.\n\n#[test]\nfn a() {}\n").contains("no test"));
        assert!(fault("// Shows U-001.\n#[test]\n").contains("no test"));
        assert!(
            fault("// Shows U-001.\n#[test]\n#[ignore = \"x\"]\nfn a() {}").contains("ignored")
        );
        let never = "// Shows U-001.\n#[cfg(feature = \"x\")]\n#[test]\nfn a() {}\n";
        assert!(fault(never).contains("everywhere"));
    }

    #[test]
    fn what_no_list_has_is_found() {
        let list = |id: &str| crate::table::parse(&format!("{id}\ta\tb\tc\n")).unwrap();
        let lists = [("Core server", list("C-001")), (LIST, list("U-001"))];
        let test = |id: &str| Test { shows: vec![id.into()], ..Test::default() };
        let tests = [test("U-001"), test("C-001"), test("U-002")];
        let unknown = unknown(&tests, &lists);
        assert_eq!(unknown.iter().collect::<Vec<_>>(), ["U-002"]);
    }
}
