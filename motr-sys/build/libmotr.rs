//! Finds an installed libmotr: by `MOTR_PREFIX`, or else by pkg-config.

use std::env::consts::ARCH;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Directory of an installation of Motr.
pub(crate) const PREFIX: &str = "MOTR_PREFIX";
/// The pkg-config to run, as other build scripts have it.
pub(crate) const PKG_CONFIG: &str = "PKG_CONFIG";

/// Name of the package for pkg-config, and of the library for the linker.
const NAME: &str = "motr";
/// Headers that the C side needs: one that Motr's build generates, and the interface itself.
const HEADERS: [&str; 2] = ["config.h", "ha/halon/interface.h"];
const LIBRARY: &str = "libmotr.so";
/// Key of the version in `config.h`.
const VERSION: &str = "#define PACKAGE_VERSION ";

/// An installed Motr.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Motr {
    /// Where `ha/halon/interface.h` and `config.h` are.
    pub(crate) include: PathBuf,
    /// Where `libmotr.so` is.
    pub(crate) lib: PathBuf,
    /// Its version, for people.
    pub(crate) version: String,
}

/// Finds Motr. `var` reads an environment variable.
///
/// # Errors
///
/// What was looked for and where.
pub(crate) fn find(var: impl Fn(&str) -> Option<OsString>) -> Result<Motr, String> {
    let set = |name| var(name).filter(|value| !value.is_empty());
    let motr = match set(PREFIX) {
        Some(prefix) => by_prefix(Path::new(&prefix))?,
        None => by_pkg_config(set(PKG_CONFIG).unwrap_or_else(|| "pkg-config".into()))?,
    };
    Ok(motr)
}

fn by_prefix(prefix: &Path) -> Result<Motr, String> {
    let origin = format!("{PREFIX}={}", prefix.display());
    if !prefix.is_absolute() {
        return Err(format!("{origin} is not an absolute path"));
    }
    if !prefix.is_dir() {
        return Err(format!(
            "{origin} is not a directory; it must be the prefix with which Motr was installed"
        ));
    }
    let libs = ["lib", "lib64", &format!("lib/{ARCH}-linux-gnu")].map(|dir| prefix.join(dir));
    check(&origin, prefix.join("include/motr"), &libs)
}

fn by_pkg_config(program: OsString) -> Result<Motr, String> {
    let ask = |args: &[&str]| {
        let shown = format!("`{} {}`", program.to_string_lossy(), args.join(" "));
        let output = Command::new(&program)
            .args(args)
            .output()
            .map_err(|error| {
                format!(
                    "libmotr is looked for with {shown}, which does not run: {error}. Install \
                 pkg-config, or set {PREFIX} to the prefix of Motr"
                )
            })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!(
            "libmotr is looked for with {shown}, which fails: {} Add the directory of {NAME}.pc to \
             PKG_CONFIG_PATH, or set {PREFIX} to the prefix of Motr",
            said.trim().replace('\n', " ")
        ))
    };
    let version = ask(&["--modversion", NAME])?;
    let origin = format!("pkg-config package {NAME} {version}");
    let flags = ask(&["--cflags-only-I", NAME])?;
    let include = flags
        .split_whitespace()
        .find_map(|flag| flag.strip_prefix("-I"))
        .ok_or_else(|| format!("{origin} names no directory of headers"))?;
    let lib = ask(&["--variable=libdir", NAME])?;
    if lib.is_empty() {
        return Err(format!("{origin} names no `libdir`"));
    }
    check(&origin, include.into(), &[lib.into()])
}

/// Looks into the installation that `origin` has named.
fn check(origin: &str, include: PathBuf, libs: &[PathBuf]) -> Result<Motr, String> {
    for header in HEADERS {
        if !include.join(header).is_file() {
            return Err(format!(
                "{origin}: the header {header} is not in {}; Motr must be installed with its \
                 headers (`make install`)",
                include.display()
            ));
        }
    }
    let Some(lib) = libs.iter().find(|dir| dir.join(LIBRARY).exists()) else {
        let places: Vec<_> = libs.iter().map(|dir| dir.display().to_string()).collect();
        return Err(format!(
            "{origin}: {LIBRARY} is not in {}; Motr must be installed with its shared library",
            places.join(", ")
        ));
    };
    let version = version(&include)
        .ok_or_else(|| format!("{origin}: config.h in {} has no version", include.display()))?;
    Ok(Motr {
        include,
        lib: lib.clone(),
        version,
    })
}

fn version(include: &Path) -> Option<String> {
    let config = fs::read_to_string(include.join(HEADERS[0])).ok()?;
    let line = config
        .lines()
        .find_map(|line| line.strip_prefix(VERSION))?
        .trim()
        .trim_matches('"');
    (!line.is_empty()).then(|| line.to_owned())
}
