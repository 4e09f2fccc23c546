//! Simulated disk and clock, workloads and checkers; used by tests only
