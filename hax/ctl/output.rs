//! Writing files that must not destroy others.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::failure::Failure;

/// A file to be written below a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutFile {
    /// Path, relative to the directory.
    pub path: PathBuf,
    /// What it is to hold.
    pub text: String,
}

/// What was done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Files written.
    pub written: usize,
    /// Files that were there with the same text.
    pub same: usize,
}

/// Refuses files that exist with another text, all of them at once.
///
/// # Errors
/// [`Failure::Conflict`] for those; [`Failure::Other`] if one cannot be read.
pub fn check(directory: &Path, files: &[OutFile]) -> Result<(), Failure> {
    let mut conflicts = Vec::new();
    for file in files {
        let path = directory.join(&file.path);
        if let Some(there) = existing(&path)?
            && there != file.text.as_bytes()
        {
            conflicts.push(format!(
                "{} exists and differs; --force replaces it",
                path.display()
            ));
        }
    }
    if conflicts.is_empty() {
        Ok(())
    } else {
        Err(Failure::Conflict(conflicts))
    }
}

/// Writes files below a directory, which is made if need be. Each is complete or absent,
/// whenever the machine stops. Without `force` a file that has appeared since
/// [`check`] is left as it is.
///
/// # Errors
/// [`Failure::Conflict`] for such a file; [`Failure::Other`] if one cannot be written.
pub fn write(directory: &Path, files: &[OutFile], force: bool) -> Result<Written, Failure> {
    let mut done = Written::default();
    for file in files {
        let path = directory.join(&file.path);
        if existing(&path)?.is_some_and(|there| there == file.text.as_bytes()) {
            done.same += 1;
            continue;
        }
        replace(&path, file.text.as_bytes(), force).map_err(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                return Failure::Conflict(vec![format!("{} exists and differs", path.display())]);
            }
            failed(&path, &error)
        })?;
        done.written += 1;
    }
    Ok(done)
}

fn existing(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, &error)),
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::Other(format!("{}: {error}", path.display()))
}

fn replace(path: &Path, bytes: &[u8], force: bool) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = parent.join(name);
    let written = fs::File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let placed = written.and_then(|()| {
        if force {
            fs::rename(&temporary, path)
        } else {
            // Unlike a rename, a link fails if the name is taken.
            fs::hard_link(&temporary, path)
        }
    });
    // After a rename there is nothing left to remove.
    let _ = fs::remove_file(&temporary);
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> OutFile {
        OutFile {
            path: path.into(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn files_are_written_once_and_not_over_others() {
        let dir = tempfile::tempdir().unwrap();
        let files = [file("ssu1/a", "1"), file("ssu1/b", "2")];
        check(dir.path(), &files).unwrap();
        assert_eq!(
            write(dir.path(), &files, false).unwrap(),
            Written {
                written: 2,
                same: 0
            }
        );
        assert_eq!(
            write(dir.path(), &files, false).unwrap(),
            Written {
                written: 0,
                same: 2
            }
        );
        assert_eq!(
            fs::read_dir(dir.path().join("ssu1")).unwrap().count(),
            2,
            "no temporary files"
        );

        let changed = [file("ssu1/a", "1"), file("ssu1/b", "3")];
        let Err(Failure::Conflict(conflicts)) = check(dir.path(), &changed) else {
            panic!()
        };
        assert_eq!(conflicts.len(), 1);
        assert!(matches!(
            write(dir.path(), &changed, false),
            Err(Failure::Conflict(_))
        ));
        assert_eq!(fs::read(dir.path().join("ssu1/b")).unwrap(), b"2");
        assert_eq!(
            write(dir.path(), &changed, true).unwrap(),
            Written {
                written: 1,
                same: 1
            }
        );
        assert_eq!(fs::read(dir.path().join("ssu1/b")).unwrap(), b"3");
    }

    #[test]
    fn a_directory_in_the_way_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        assert!(matches!(
            check(dir.path(), &[file("a", "1")]),
            Err(Failure::Other(_))
        ));
    }
}
