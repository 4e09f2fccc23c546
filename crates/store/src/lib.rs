//! The message log: segments, catalog, commit and recovery as state machines over disk requests
