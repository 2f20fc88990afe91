//! Stamps the commit into the binaries, and gives them the run-time path of libmotr if that is the
//! backend.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for path in ["HEAD", "logs/HEAD"] {
        if let Some(file) = git(&["rev-parse", "--git-path", path]) {
            println!("cargo::rerun-if-changed={file}");
        }
    }
    // A source archive has no repository: the version alone must do.
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=HAX_COMMIT={commit}");
    if let Ok(dir) = std::env::var("DEP_HAX_HALINK_RPATH") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{dir}");
    }
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(args)
        .output()
        .ok()
        .filter(|out| out.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
