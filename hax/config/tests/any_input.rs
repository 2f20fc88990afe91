//! Any input is read or refused, and nothing panics.

use std::time::Duration;

use proptest::prelude::*;

use crate::config::{Config, reference, schema, value};

#[test]
fn hostile_files_are_refused_in_bounded_time() {
    let deep = format!("a = {}", "[".repeat(100_000));
    assert!(Config::from_toml("f", &deep).is_err());
    let tables = format!("[{}a]", "a.".repeat(20_000));
    assert!(Config::from_toml("f", &tables).is_err());
    let garbage = "= \n".repeat(30_000);
    assert_eq!(
        Config::from_toml("f", &garbage).unwrap_err().errors().len(),
        100
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Err(errors) = Config::from_bytes("f", &bytes) {
            prop_assert!(!errors.errors().is_empty());
        }
    }

    #[test]
    fn arbitrary_toml_like_text_never_panics(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("[".to_owned()), Just("]".to_owned()), Just("\n".to_owned()),
                Just("=".to_owned()), Just("\"".to_owned()), Just("{".to_owned()),
                Just("node".to_owned()), Just("ha".to_owned()), Just(".".to_owned()),
                Just("http".to_owned()), Just("listen".to_owned()), ".{0,6}",
            ],
            0..60,
        )
    ) {
        if let Err(errors) = Config::from_toml("f", &parts.concat()) {
            let report = errors.to_string();
            prop_assert!(!errors.errors().is_empty());
            prop_assert_eq!(report.lines().count(), errors.errors().len().min(101), "{}", report);
        }
    }

    #[test]
    fn arbitrary_values_of_known_keys_never_panic(
        nr in 0..reference().len(), value in "\\PC{0,40}"
    ) {
        let key = reference()[nr];
        let quoted = format!("{value:?}");
        let _ = Config::from_toml("f", &format!("{} = {quoted}\n", key.path));
        let _ = Config::from_toml("f", &format!("{} = '{value}'\n", key.path));
        let _ = Config::from_toml("f", &format!("{} = {value}\n", key.path));
    }

    #[test]
    fn durations_and_sizes_read_back(ms in 0..10_000_000_u64, bytes in 0..1_u64 << 40) {
        let ms = Duration::from_millis(ms);
        prop_assert_eq!(value::duration(&schema::show_duration(ms)), Ok(ms));
        prop_assert_eq!(value::size(&schema::show_size(bytes)), Ok(bytes));
    }
}

proptest! {
    #[test]
    fn arbitrary_values_in_arrays_of_tables_never_panic(
        nr in 0..reference().len(), value in "\\PC{0,40}", kind in 0..6_usize
    ) {
        let key = reference()[nr];
        if schema::ARRAYS.contains(&key.section()) {
            let kinds = ["agent", "files", "process", "command", "watchdog", "dummy"];
            let header = format!("[[{}]]\nname = 'x'\ntype = '{}'\n", key.section(), kinds[kind]);
            for value in [
                format!("{value:?}"),
                format!("[{value:?}, {value:?}]"),
                format!("{{ {value:?} = {value:?} }}"),
                format!("'{value}'"),
                value,
            ] {
                let _ = Config::from_toml("f", &format!("{header}{} = {value}\n", key.leaf()));
            }
        }
    }
}
