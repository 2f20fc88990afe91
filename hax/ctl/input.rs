//! Reading the files commands are given.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::failure::Failure;

/// The text of a file of at most `limit` bytes.
///
/// # Errors
/// [`Failure::NoInput`] if it cannot be read, is longer, or is no text.
pub(super) fn read(path: &Path, limit: u64) -> Result<String, Failure> {
    let refuse = |why: String| Failure::NoInput(format!("{}: {why}", path.display()));
    let file = File::open(path).map_err(|error| refuse(error.to_string()))?;
    let mut bytes = Vec::new();
    // One byte more than the limit tells a longer file, whatever its metadata says.
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| refuse(error.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(refuse(format!("is longer than {limit} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| refuse("is not UTF-8 text".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_and_the_encoding_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), "12345");
        assert!(matches!(read(&path, 4), Err(Failure::NoInput(_))));
        std::fs::write(&path, [0xff]).unwrap();
        assert!(matches!(read(&path, 4), Err(Failure::NoInput(_))));
        assert!(matches!(
            read(&dir.path().join("none"), 4),
            Err(Failure::NoInput(_))
        ));
    }
}
