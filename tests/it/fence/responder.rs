//! Responders of tests: the steps of the protocol, written anew in a few lines of shell, so that the recorder
//! meets somebody else's.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Watches for requests, writes each into `seen`, and answers it with the text of the file `answer`, in which
/// ID, ACTION and TARGET are replaced, under the name of the file `name`.
const SCRIPT: &str = r#"
cd "$1" || exit 1
while [ -e . ]; do
  for request in requests/*.json; do
    [ -f "$request" ] || continue
    file=${request##*/}
    member() { sed -n 's/.*"'"$1"'": *"\([^"]*\)".*/\1/p' "$request"; }
    id=$(member request_id) action=$(member action) target=$(member target_node)
    [ -n "$id" ] || continue
    cat "$request" >> seen
    sed "s/ID/$id/; s/ACTION/$action/; s/TARGET/$target/; s/NOW/$(date -u +%Y-%m-%dT%H:%M:%SZ)/" answer \
        > "responses/.$file.tmp"
    mv "responses/.$file.tmp" "responses/$file"
    rm -f "$request"
  done
  sleep 0.05
done
"#;

/// The right answer.
pub(crate) const DONE: &str = r#"{"request_id": "ID", "success": true, "action_performed": "ACTION",
 "target_node": "TARGET", "message": "done by a script", "timestamp": "NOW"}"#;

/// Directories of one test, and perhaps a responder that serves them.
pub(crate) struct Files {
    pub(crate) root: TempDir,
    responder: Option<Child>,
}

impl Files {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for name in ["requests", "responses", "log"] {
            std::fs::create_dir(root.path().join(name)).unwrap();
        }
        let responder = None;
        Self { root, responder }
    }

    /// With a responder that answers with this.
    pub(crate) fn served(answer: &str) -> Self {
        let mut files = Self::new();
        files.serve(answer);
        files
    }

    pub(crate) fn serve(&mut self, answer: &str) {
        std::fs::write(self.path("answer"), answer).unwrap();
        let responder = Command::new("sh")
            .args(["-c", SCRIPT, "responder"])
            .arg(self.root.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        self.responder = Some(responder.unwrap());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Visible requests.
    pub(crate) fn requests(&self) -> Vec<String> {
        let mut names = names(&self.path("requests"));
        names.retain(|name| !name.starts_with('.'));
        names
    }

    /// What the responder has seen, or nothing.
    pub(crate) fn seen(&self) -> String {
        std::fs::read_to_string(self.path("seen")).unwrap_or_default()
    }

    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path("log").join(name)).unwrap_or_default()
    }

    /// The recorder with its options on stdin, as a fencer runs it.
    pub(crate) async fn recorder(&self, timeout: &str, lines: &str) -> Ended {
        let child = self.start(timeout, lines).await;
        ended(child).await
    }

    pub(crate) async fn start(&self, timeout: &str, lines: &str) -> Child {
        use tokio::io::AsyncWriteExt;
        let root = self.root.path().display();
        let mut child = Command::new(env!("CARGO_BIN_EXE_fence_recorder"))
            .env("FENCE_TIMEOUT", timeout)
            .env("POLL_INTERVAL", "0.1")
            .env_remove("CLEANUP_MAX_AGE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = format!(
            "request-dir={root}/requests\nresponse_dir={root}/responses\nlog-dir={root}/log\n{lines}\n"
        );
        let mut stdin = child.stdin.take().unwrap();
        // One that ends before it has read its options has said why.
        stdin.write_all(input.as_bytes()).await.ok();
        child
    }
}

/// How a program has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) async fn ended(child: Child) -> Ended {
    let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output());
    let output = output.await.expect("the program has not ended").unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The names in a directory.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().into_string().unwrap()
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}
