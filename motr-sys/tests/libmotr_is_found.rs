//! What the build says of an installation of Motr, whole or not.

#[path = "../build/libmotr.rs"]
mod libmotr;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use libmotr::{Motr, PKG_CONFIG, PREFIX, find};

/// An installation in a temporary directory.
struct Installation(tempfile::TempDir);

impl Installation {
    fn new() -> Self {
        let installation = Self(tempfile::tempdir().unwrap());
        installation.write(
            "include/motr/config.h",
            "#define PACKAGE_VERSION \"2.0.0\"\n",
        );
        installation.write("include/motr/ha/halon/interface.h", "");
        installation.write("lib/libmotr.so", "");
        installation
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn without(self, name: &str) -> Self {
        fs::remove_file(self.path(name)).unwrap();
        self
    }

    fn found(&self) -> Result<Motr, String> {
        by_prefix(self.0.path())
    }

    /// A pkg-config that answers what the `case` branches say.
    fn pkg_config(&self, branches: &str) -> Result<Motr, String> {
        let program = self.path("pkg-config");
        let script = format!(
            "#!/bin/sh\nd={}\ncase $1 in\n{branches}\nesac\n",
            self.0.path().display()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        find(|name| (name == PKG_CONFIG).then(|| program.clone().into()))
    }
}

fn by_prefix(prefix: &Path) -> Result<Motr, String> {
    find(|name| (name == PREFIX).then(|| prefix.as_os_str().to_owned()))
}

#[track_caller]
fn refused(found: Result<Motr, String>, parts: &[&str]) {
    let error = found.unwrap_err();
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
    assert!(!error.contains('\n'), "{error:?}");
}

#[test]
fn a_prefix_is_enough() {
    let installation = Installation::new();
    let motr = installation.found().unwrap();
    assert_eq!(motr.include, installation.path("include/motr"));
    assert_eq!(motr.lib, installation.path("lib"));
    assert_eq!(motr.version, "2.0.0");
}

#[test]
fn the_library_may_be_in_lib64() {
    let installation = Installation::new().without("lib/libmotr.so");
    installation.write("lib64/libmotr.so", "");
    assert_eq!(
        installation.found().unwrap().lib,
        installation.path("lib64")
    );
}

#[test]
fn a_prefix_that_is_no_directory_is_refused() {
    refused(
        by_prefix(Path::new("/nonexistent/motr")),
        &["MOTR_PREFIX=/nonexistent/motr is not a directory"],
    );
    refused(
        by_prefix(Path::new("motr")),
        &["MOTR_PREFIX=motr is not an absolute path"],
    );
}

#[test]
fn what_is_missing_is_named_with_its_place() {
    for (missing, what) in [
        ("include/motr/config.h", "config.h"),
        ("include/motr/ha/halon/interface.h", "ha/halon/interface.h"),
        ("lib/libmotr.so", "libmotr.so"),
    ] {
        let installation = Installation::new().without(missing);
        let place = installation.path(if what == "libmotr.so" {
            "lib"
        } else {
            "include/motr"
        });
        refused(
            installation.found(),
            &["MOTR_PREFIX=", what, place.to_str().unwrap()],
        );
    }
    let installation = Installation::new();
    installation.write("include/motr/config.h", "#define OTHER 1\n");
    refused(installation.found(), &["config.h", "has no version"]);
}

#[test]
fn pkg_config_is_asked_without_a_prefix() {
    let installation = Installation::new();
    let motr = installation.pkg_config(
        "--modversion) echo 2.0.0;;\n--cflags-only-I) echo -I$d/include/motr;;\n\
         --variable=libdir) echo $d/lib;;",
    );
    assert_eq!(motr.unwrap().lib, installation.path("lib"));
}

#[test]
fn a_pkg_config_that_does_not_know_or_is_wrong_is_told() {
    let installation = Installation::new();
    let unknown = installation.pkg_config("*) echo 'Package motr was not found' >&2; exit 1;;");
    refused(
        unknown,
        &[
            "--modversion motr",
            "Package motr was not found",
            "PKG_CONFIG_PATH",
            PREFIX,
        ],
    );
    let elsewhere = installation.pkg_config(
        "--modversion) echo 2.0.0;;\n--cflags-only-I) echo -I/nonexistent;;\n\
         --variable=libdir) echo $d/lib;;",
    );
    refused(
        elsewhere,
        &["pkg-config package motr 2.0.0", "config.h", "/nonexistent"],
    );
    let empty = installation.pkg_config("--modversion) echo 2.0.0;;");
    refused(
        empty,
        &["pkg-config package motr 2.0.0 names no directory of headers"],
    );
    let missing = |name: &str| (name == PKG_CONFIG).then(|| OsString::from("/nonexistent/pkg"));
    refused(find(missing), &["/nonexistent/pkg", "does not run", PREFIX]);
}
