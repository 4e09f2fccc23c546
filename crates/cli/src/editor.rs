//! A text in the user's editor.

use std::io::Write as _;
use std::process::Command;

use crate::exit::{Failure, status};
use crate::message::words;

/// Opens `text` in `$VISUAL`, `$EDITOR` or vi, as a file whose name ends in `suffix`, and returns
/// what it holds afterwards.
///
/// # Errors
/// There is no editor; it fails.
pub(crate) fn edit(text: &str, suffix: &str) -> Result<String, Failure> {
    let failed = |what: &str, error: std::io::Error| Failure::io(what, &error);
    let mut file = tempfile::Builder::new()
        .prefix("natterjack-")
        .suffix(suffix)
        .tempfile()
        .map_err(|error| failed("a temporary file", error))?;
    file.write_all(text.as_bytes()).map_err(|error| failed("a temporary file", error))?;
    let path = file.into_temp_path();
    let set = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    let words = words(&editor, "EDITOR")?;
    let (program, arguments) =
        words.split_first().ok_or_else(|| Failure::usage("EDITOR is empty"))?;
    let ended = Command::new(program)
        .args(arguments)
        .arg(&path)
        .status()
        .map_err(|error| failed(&format!("the editor `{editor}`"), error))?;
    if !ended.success() {
        let text = format!("the editor `{editor}` ended with {ended}; nothing was changed");
        return Err(Failure::new(status::FAILED, "editor.failed", text));
    }
    std::fs::read_to_string(&path).map_err(|error| failed("the edited file", error))
}
