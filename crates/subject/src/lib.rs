//! Subject grammar, wildcards, transforms, the sublist and per-subject state
