//! Reading the file itself.

use super::MINIMAL;
use crate::config::Config;

#[test]
fn files_that_are_not_text_or_not_there_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hax.toml");
    let file = path.display();
    let load = || Config::load(&path).map_err(|errors| errors.to_string());
    assert_eq!(
        load().unwrap_err(),
        format!("{file}: cannot read the configuration: No such file or directory (os error 2)")
    );
    assert!(
        Config::load(dir.path())
            .unwrap_err()
            .to_string()
            .contains("Is a directory")
    );
    std::fs::write(&path, b"[node]\n# \xc3\xa9 \xff\n").unwrap();
    assert_eq!(
        load().unwrap_err(),
        format!("{file}:2:5: the file is not UTF-8 text from here on")
    );
    std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert_eq!(
        load().unwrap_err(),
        format!("{file}: the file is larger than 1048576 bytes; is it the configuration?")
    );
    std::fs::write(&path, MINIMAL).unwrap();
    assert_eq!(load().unwrap().node.name, "ssu1");
}
