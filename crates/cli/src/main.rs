//! The memsweep binary.
fn main() {}
