//! Debian's fence agents and what stands for their hardware, where they are installed.

use std::path::{Path, PathBuf};

/// Where a program is; daemons are not on everybody's PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|file| file.exists())
}

/// Whether all are installed. A test without them says so and ends; in CI it fails.
pub(crate) fn installed(programs: &[&str]) -> bool {
    let missing: Vec<&&str> = programs.iter().filter(|p| find(p).is_none()).collect();
    if missing.is_empty() {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "not installed: {missing:?}; HAX_WITH_FENCING=1 scripts/setup installs them"
    );
    println!("skipped: {missing:?} are not installed; HAX_WITH_FENCING=1 scripts/setup does it");
    false
}

/// A script that can be executed.
pub(crate) fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
