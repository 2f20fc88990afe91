//! The directory of snippets.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::config::plugin::{PluginConfig, SNIPPETS_MAX, load_snippets};

fn names(dir: &Path) -> Vec<String> {
    let loaded = load_snippets(dir).unwrap();
    loaded.keys().map(ToString::to_string).collect()
}

fn report(dir: &Path) -> String {
    let report = load_snippets(dir).unwrap_err().to_string();
    report.replace(&format!("{}/", dir.display()), "")
}

#[test]
fn only_files_that_end_in_toml_are_snippets() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    assert!(names(dir.path()).is_empty());
    write("b.toml", "[[debugger]]\n");
    write("a.1_x-y.toml", "[[prometheus]]\n");
    write("c.toml.disabled", "garbage");
    write(".d.toml", "garbage");
    write("e.toml~", "garbage");
    fs::create_dir(dir.path().join("f")).unwrap();
    symlink("b.toml", dir.path().join("g.toml")).unwrap();
    assert_eq!(names(dir.path()), ["a.1_x-y", "b", "g"]);
    let loaded = load_snippets(dir.path()).unwrap();
    assert!(
        loaded
            .values()
            .any(|config| *config == PluginConfig::Debugger)
    );
}

#[test]
fn the_errors_of_all_files_are_reported_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| fs::write(dir.path().join(name), text).unwrap();
    write("a.toml", b"[[debuger]]\n");
    write("b c.toml", b"[[debugger]]\n");
    write("d.toml", b"# \xff\n");
    write("e.toml", &vec![b'#'; 256 * 1024 + 1]);
    fs::create_dir(dir.path().join("f.toml")).unwrap();
    symlink("nowhere", dir.path().join("g.toml")).unwrap();
    write("h.toml", b"[[debugger]]\n");
    assert_eq!(
        report(dir.path()),
        "a.toml:1:3: [[debuger]]: unknown section; did you mean debugger?\n\
         b c.toml: the name of the instance has other characters than letters, digits, `-`, `_` and `.`\n\
         d.toml:1:3: the file is not UTF-8 text from here on\n\
         e.toml: the file is larger than 262144 bytes; is it the configuration?\n\
         f.toml: is not a regular file\n\
         g.toml: cannot read the configuration: No such file or directory (os error 2)"
    );
}

/// A FIFO would keep a reader for ever.
#[test]
fn a_fifo_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.toml");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert_eq!(report(dir.path()), "a.toml: is not a regular file");
}

#[test]
fn an_address_is_for_one_snippet() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, line: &str| {
        let text = format!("[[prometheus]]\nallow_remote = true\n{line}\n");
        fs::write(dir.path().join(name), text).unwrap();
    };
    let said = |a: &str, b: &str| {
        write("a.toml", a);
        write("b.toml", b);
        load_snippets(dir.path()).err().map(|_| report(dir.path()))
    };
    assert_eq!(
        said("", "address = \"127.0.0.1:9942\"").unwrap(),
        "b.toml:3:11: prometheus.address: 127.0.0.1:9942 cannot be listened on: a.toml has 127.0.0.1:9942; give each \
         its own address"
    );
    for (a, b) in [
        ("0.0.0.0:1", "127.0.0.1:1"),
        ("[::]:1", "127.0.0.1:1"),
        ("[::1]:1", "[::]:1"),
    ] {
        let (a, b) = (format!("address = {a:?}"), format!("address = {b:?}"));
        assert!(said(&a, &b).is_some() && said(&b, &a).is_some(), "{a} {b}");
    }
    for (a, b) in [
        ("127.0.0.1:1", "127.0.0.1:2"),
        ("127.0.0.1:1", "127.0.0.2:1"),
        ("0.0.0.0:1", "[::1]:1"),
        ("127.0.0.1:0", "127.0.0.1:0"),
    ] {
        let (a, b) = (format!("address = {a:?}"), format!("address = {b:?}"));
        assert_eq!(said(&a, &b), None, "{a} {b}");
    }
}

#[test]
fn a_directory_has_bounds_and_must_be_there() {
    let dir = tempfile::tempdir().unwrap();
    for nr in 0..=SNIPPETS_MAX {
        fs::write(dir.path().join(format!("{nr}.toml")), "[[debugger]]\n").unwrap();
    }
    let many = load_snippets(dir.path()).unwrap_err().to_string();
    assert!(many.ends_with(": has more than 256 snippets"), "{many}");
    fs::remove_file(dir.path().join("0.toml")).unwrap();
    assert_eq!(names(dir.path()).len(), SNIPPETS_MAX);
    let gone = load_snippets(&dir.path().join("gone"))
        .unwrap_err()
        .to_string();
    assert!(gone.contains("No such file or directory"), "{gone}");
}
