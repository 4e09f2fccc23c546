//! What a pair has to show, and whether it did.

/// A thing that was checked.
#[derive(Debug, Clone)]
pub(super) struct Check {
    /// What should hold.
    pub(super) claim: String,
    /// What was found where it does not.
    pub(super) broken: Option<String>,
}

/// The checks of a pair.
#[derive(Debug, Clone, Default)]
pub(super) struct Checks(Vec<Check>);

impl Checks {
    pub(super) fn add(&mut self, check: Check) {
        self.0.push(check);
    }

    pub(super) fn total(&self) -> usize {
        self.0.len()
    }

    pub(super) fn passed(&self) -> usize {
        self.0.iter().filter(|check| check.broken.is_none()).count()
    }

    /// `claim: what was found`, for each that does not hold.
    pub(super) fn broken(&self) -> Vec<String> {
        let broken =
            |check: &Check| check.broken.as_ref().map(|found| format!("{}: {found}", check.claim));
        self.0.iter().filter_map(broken).collect()
    }
}
