//! Text of a configuration: never a panic or an overflow of the stack, whatever it includes.
//!
//! The input is every file and every environment variable at once, so that includes and variables
//! meet themselves. Lines of it are also taken for a command line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use natterjack_config::language::{self, Source};
use natterjack_config::{ConfigError, Options, duration, flags, reload};
use std::io;

struct World<'a>(&'a [u8]);

impl Source for World<'_> {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        // Of the names that a text can include some exist and some do not.
        if path.len() % 4 == 3 { Err(io::ErrorKind::NotFound.into()) } else { Ok(self.0.to_vec()) }
    }

    fn variable(&self, name: &str) -> Option<String> {
        (name.len() % 2 == 1).then(|| String::from_utf8_lossy(self.0).into_owned())
    }
}

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let world = World(data);
    let tree = language::parse(&text, "C", &world);
    match Options::parse(&text, "C", &world) {
        Ok(options) => {
            let tree = tree.expect("options come from a tree");
            assert_eq!(options.config_digest, language::digest(&tree));
            assert!(options.max_payload > 0 && options.max_control_line > 0);
            let _ = (options.validate(), options.check_deprecated(), options.startup_notices());
            let changes = reload::diff(&options, &options).expect("nothing changed");
            assert_eq!(changes.len(), 2, "what is always reloaded");
            let _ = reload::diff(&Options::default(), &options);
        }
        Err(ConfigError::Options(problems)) => assert!(tree.is_ok() && !problems.is_empty()),
        Err(error) => assert_eq!(tree.map_err(ConfigError::from), Err(error)),
    }
    if let Ok(nanos) = duration::parse_positive(&text) {
        let shown = duration::format(nanos);
        assert_eq!(duration::parse_positive(&shown), Ok(nanos));
    }
    match flags::parse(text.lines().map(str::to_owned)) {
        Ok(flags::Command::Serve(overrides)) => overrides.apply(&mut Options::default()),
        Ok(_) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
