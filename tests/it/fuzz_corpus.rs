//! Every input that the fuzz targets keep, given to its target: what was found once stays mended,
//! also where no fuzzer is at hand.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::path::Path;

fn replay(name: &str, target: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut files = 0;
    for entry in std::fs::read_dir(corpus.join(name)).unwrap() {
        let path = entry.unwrap().path();
        // Named here, because a target that panics does not say with which input.
        let input = std::fs::read(&path).unwrap();
        let outcome = std::panic::catch_unwind(|| target(&input));
        assert!(outcome.is_ok(), "{} breaks its target", path.display());
        files += 1;
    }
    assert!(files > 0, "the corpus of {name} is empty");
}

#[test]
fn frames_of_the_corpus() {
    replay("wire", targets::wire);
}

#[test]
fn watch_bodies_of_the_corpus() {
    replay("watch", targets::watch);
}

#[test]
fn keys_and_values_of_the_corpus() {
    replay("kv", targets::kv);
}

#[test]
fn configurations_of_the_corpus() {
    replay("config", targets::config);
}
