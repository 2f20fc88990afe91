//! Stamps the commit into the binaries, and gives them the run-time path of libmotr if that is the
//! backend. `HAX_COMMIT` in the environment is taken for the
//! commit, where there is no repository.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=HAX_COMMIT");
    let commit = std::env::var("HAX_COMMIT").ok().unwrap_or_else(commit);
    println!("cargo::rustc-env=HAX_COMMIT={commit}");
    if let Ok(dir) = std::env::var("DEP_HAX_HALINK_RPATH") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{dir}");
    }
}

/// The commit of the repository, for which the build is repeated when it changes.
fn commit() -> String {
    for path in ["HEAD", "logs/HEAD"] {
        if let Some(file) = git(&["rev-parse", "--git-path", path]) {
            println!("cargo::rerun-if-changed={file}");
        }
    }
    // A source archive has no repository, and whoever builds from one may know the commit.
    git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned())
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(args)
        .output()
        .ok()
        .filter(|out| out.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
