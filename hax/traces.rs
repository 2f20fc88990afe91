//! Trace files of libmotr: each run of a process leaves one of 16 MiB, written like a ring and read
//! with `m0trace`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use tracing::{info, warn};

/// Trace files of earlier runs that are kept.
const KEPT: usize = 3;

/// How the names of trace files begin.
const PREFIX: &str = "m0trace.";

/// Makes the directory, removes all but the newest trace files, and has libmotr put its own there.
/// The process must have one thread.
///
/// # Errors
/// The directory cannot be made or read, or the process has more threads.
pub fn prepare(dir: &Path) -> Result<()> {
    let shown = dir.display();
    fs::create_dir_all(dir).with_context(|| format!("cannot make {shown}"))?;
    let old = old(dir).with_context(|| format!("cannot read {shown}"))?;
    for file in &old {
        match fs::remove_file(file) {
            Ok(()) => info!(file = %file.display(), "removed an old trace file"),
            Err(error) => warn!(file = %file.display(), %error, "an old trace file stays"),
        }
    }
    halink::prepare(dir).context("libmotr cannot be told where its trace file goes")?;
    info!(directory = %shown, "libmotr writes its trace file m0trace.<pid>.<time>; read it with m0trace");
    Ok(())
}

/// The trace files in a directory but for the newest.
fn old(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let ours = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes());
        // One that vanishes meanwhile is none.
        let Ok(meta) = entry.metadata() else { continue };
        if ours && meta.is_file() {
            files.push((meta.modified()?, entry.path()));
        }
    }
    files.sort();
    let old = files.len().saturating_sub(KEPT);
    Ok(files.drain(..old).map(|(_, path)| path).collect())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_the_oldest_trace_files_go() {
        let dir = tempfile::tempdir().unwrap();
        for (age, name) in [
            "m0trace.5",
            "m0trace.1",
            "m0trace.9",
            "m0trace.2",
            "m0trace.3",
        ]
        .iter()
        .enumerate()
        {
            let file = File::create(dir.path().join(name)).unwrap();
            let time = SystemTime::now() - Duration::from_secs(age as u64 * 60);
            file.set_modified(time).unwrap();
        }
        File::create(dir.path().join("other")).unwrap();
        fs::create_dir(dir.path().join("m0trace.dir")).unwrap();
        let old = old(dir.path()).unwrap();
        assert_eq!(
            old,
            [dir.path().join("m0trace.3"), dir.path().join("m0trace.2")]
        );
    }
}
