//! Tests of the source, against what DRBD 9 prints (`tests/data/drbd`).

mod lines;
mod merging;
mod source;
mod stand_in;

/// What is recorded under this name.
fn recorded(name: &str) -> String {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/drbd");
    std::fs::read_to_string(format!("{data}/{name}.events2")).unwrap()
}
