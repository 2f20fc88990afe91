//! What is found before anything runs.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn refused(rules: Vec<Rule>) -> String {
    Umh::prepare(config(1, 1, rules), "here")
        .unwrap_err()
        .to_string()
}

fn program(name: &str, dir: &Path, program: &Path) -> Rule {
    Rule {
        command: Commands::Program(vec![program.to_str().unwrap().to_owned()]),
        ..rule(name, dir, "")
    }
}

#[test]
fn each_rule_with_a_program_that_cannot_run_is_named() {
    let dir = TempDir::new().unwrap();
    let plain = dir.path().join("plain");
    std::fs::write(&plain, "#!/bin/sh\n").unwrap();
    let error = refused(vec![
        program("missing", dir.path(), &dir.path().join("nowhere")),
        rule("good", dir.path(), ":"),
        program("plain", dir.path(), &plain),
        program("folder", dir.path(), dir.path()),
        program("relative", dir.path(), Path::new("sh")),
    ]);
    let problems: Vec<&str> = error.split("; rule ").collect();
    let [missing, plain, folder, relative] = problems[..] else {
        panic!("{error}");
    };
    assert!(
        missing.starts_with("rule `missing`: the program /"),
        "{error}"
    );
    assert!(
        missing.contains("nowhere cannot be used: No such file"),
        "{error}"
    );
    assert!(plain.starts_with("`plain`: "), "{error}");
    assert!(
        plain.contains("cannot be executed: Permission denied"),
        "{error}"
    );
    assert!(folder.starts_with("`folder`: "), "{error}");
    assert!(folder.contains("is no file"), "{error}");
    assert!(relative.starts_with("`relative`: "), "{error}");
    assert!(relative.contains("no absolute path"), "{error}");
}

#[test]
fn an_executable_program_and_a_line_for_the_shell_are_taken() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("tell");
    std::fs::write(&file, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    let line = Rule {
        command: Commands::Shell("no-such-program | true".to_owned()),
        ..rule("line", dir.path(), "")
    };
    let rules = vec![program("tell", dir.path(), &file), line];
    Umh::prepare(config(1, 1, rules), "here").unwrap();
}

#[test]
fn an_environment_that_none_can_have_is_refused_without_its_value() {
    let dir = TempDir::new().unwrap();
    let with = |name: &str, value: &str| Rule {
        env: [(name.to_owned(), value.to_owned())].into(),
        ..rule("tell", dir.path(), ":")
    };
    let error = refused(vec![with("TOKEN", "hun\0ter2")]);
    assert_eq!(error, "rule `tell`: the value of `env.TOKEN` has a NUL");
    let error = refused(vec![with("A=B", "hunter2")]);
    assert!(!error.contains("hunter2"), "{error}");
}
