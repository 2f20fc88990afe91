//! Secrets: read when they are needed, and blotted out of all that is kept or told.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::AsyncReadExt;

use super::guard::Tail;

/// Bytes of a file with a secret.
const FILE_MAX: u64 = 4096;

/// What stands in the place of a secret.
pub(super) const BLOT: &str = "***";

/// What must not be seen.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Keeps a value out of everything.
    pub(super) fn add(&mut self, value: &str) {
        if value.is_empty() {
            return;
        }
        let quoted = format!("{value:?}");
        let inner = quoted.get(1..quoted.len() - 1).unwrap_or(value);
        let forms = [
            value.to_owned(),
            inner.to_owned(),
            value.replace('\'', "'\"'\"'"),
            value.replace('\'', "'\\''"),
            percent(value),
            STANDARD.encode(value),
        ];
        for form in forms {
            if !self.0.contains(&form) {
                self.0.push(form);
            }
        }
        // A secret that holds another goes first.
        self.0.sort_by_key(|form| std::cmp::Reverse(form.len()));
    }

    /// The text without secrets.
    pub(super) fn blot(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), BLOT);
            }
        }
        text
    }

    /// The end of a stream without secrets. Where it was cut, half a secret may stand: the first line
    /// goes, as a secret has only one, or what the longest secret may have left.
    pub(super) fn blot_tail(&self, tail: &Tail) -> String {
        let mut text = tail.text.as_str();
        if tail.cut > 0 {
            let longest = self.0.first().map_or(0, String::len);
            let line = text.find('\n').map_or(longest, |end| end + 1);
            let mut from = line.min(text.len());
            while !text.is_char_boundary(from) {
                from += 1;
            }
            text = text.get(from..).unwrap_or_default();
        }
        self.blot(text)
    }
}

fn percent(value: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(byte).collect()
}

/// Whether a parameter is a secret by its name, although it stands in the configuration.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let elsewhere = ["_script", "_file", "_path"];
    let secret = [
        "pass",
        "secret",
        "token",
        "kg",
        "apikey",
        "api_key",
        "community",
    ];
    !elsewhere.iter().any(|end| name.ends_with(end))
        && secret.iter().any(|part| name.contains(part))
}

/// Reads a secret: the file's text, without the line end.
///
/// # Errors
/// It cannot be read, is too long, is not text of one line, or is empty.
pub(super) async fn read(path: &Path) -> Result<String, String> {
    let why = |error: io::Error| format!("cannot be read: {error}");
    // Opening a FIFO would wait for its writer.
    if !tokio::fs::metadata(path).await.map_err(why)?.is_file() {
        return Err("is not a file".to_owned());
    }
    let file = tokio::fs::File::open(path).await.map_err(why)?;
    let mut bytes = Vec::new();
    let read = file.take(FILE_MAX + 1).read_to_end(&mut bytes).await;
    read.map_err(why)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_MAX {
        return Err(format!("is longer than {FILE_MAX} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line {
        "" => Err("is empty".to_owned()),
        line if line.contains(['\n', '\r', '\0']) => Err("has more than one line".to_owned()),
        line => Ok(line.to_owned()),
    }
}

/// Whether others than the owner can read a file.
pub(super) fn is_open_to_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o044 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[&str]) -> Secrets {
        let mut secrets = Secrets::default();
        for value in values {
            secrets.add(value);
        }
        secrets
    }

    #[test]
    fn a_secret_is_blotted_in_every_form_and_the_longer_one_first() {
        let secrets = secrets(&["p'w #1", "p'w"]);
        for text in [
            "password=p'w #1",
            "-P 'p'\"'\"'w #1' -x",
            "-P 'p'\\''w #1'",
            "?pw=p%27w%20%231",
            "Basic cCd3ICMx",
        ] {
            let blotted = secrets.blot(text);
            assert!(blotted.contains(BLOT), "{text}: {blotted}");
            assert!(!blotted.contains('1'), "{text}: {blotted}");
        }
    }

    #[test]
    fn half_a_secret_at_a_cut_does_not_stay() {
        let secrets = secrets(&["hunter2hunter2"]);
        let tail = |text: &str| {
            let text = text.to_owned();
            secrets.blot_tail(&Tail { text, cut: 1 })
        };
        assert_eq!(tail("ter2hunter2 was it\nend"), "end");
        assert!(!tail("ter2hunter2 without a line end").contains("ter2"));
        assert_eq!(tail("hun"), "");
    }

    #[tokio::test]
    async fn a_secret_file_is_one_line_of_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let of = async |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read(&path).await
        };
        assert_eq!(of(b"a = b #\n").await.unwrap(), "a = b #");
        assert_eq!(of(b" x ").await.unwrap(), " x ");
        for bad in [&b""[..], b"\n", b"a\nb\n", b"a\0b", b"\xff", &[b'x'; 5000]] {
            assert!(of(bad).await.is_err(), "{bad:?}");
        }
        assert!(read(dir.path()).await.is_err());
        assert!(read(&dir.path().join("none")).await.is_err());
    }

    #[test]
    fn names_of_secrets_are_known() {
        for name in ["passwd", "password", "snmp_priv_passwd", "hexadecimal_kg"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["password_script", "identity_file", "ip", "lanplus"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
