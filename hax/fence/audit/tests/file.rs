use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::*;

struct Scene {
    dir: tempfile::TempDir,
    bounds: Bounds,
}

impl Scene {
    fn new(bounds: Bounds) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, bounds }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("audit.jsonl")
    }

    async fn open(&self) -> AuditFile {
        self.try_open().await.unwrap()
    }

    async fn try_open(&self) -> Result<AuditFile, AuditError> {
        let opened = AuditFile::open(&self.path(), node("ssu1"), self.bounds).await;
        opened.map(|(file, _)| file)
    }

    /// The earlier files and this one, in their order.
    fn files(&self) -> Vec<PathBuf> {
        let names = fs::read_dir(self.dir.path()).unwrap();
        let mut files: Vec<PathBuf> = names.map(|name| name.unwrap().path()).collect();
        files.sort();
        files.rotate_left(1);
        files
    }

    fn bytes(&self) -> Vec<u8> {
        let files = self.files();
        files
            .iter()
            .flat_map(|file| fs::read(file).unwrap())
            .collect()
    }

    fn events(&self) -> Vec<Event> {
        let bytes = self.bytes();
        let lines = bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice::<Entry>(line).unwrap().event)
            .collect()
    }

    /// Number and hash of the last line of a chain that is whole.
    fn verified(&self) -> Head {
        let mut chain = Chain::default();
        chain.take_file(&self.bytes()).unwrap();
        let (seq, hash) = chain.last.unwrap();
        Head { seq, hash }
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_chain_goes_on_after_a_start() {
    let scene = Scene::new(Bounds::default());
    for start in 1..4 {
        let mut file = scene.open().await;
        file.append(event(start)).await.unwrap();
        assert_eq!(scene.verified(), file.head());
        assert_eq!(file.head().seq, start as u64 * 2);
    }
    assert!(matches!(
        scene.events()[..],
        [Event::Opened { .. }, _, Event::Opened { .. }, ..]
    ));
    assert_eq!(mode(&scene.path()), 0o600);
}

#[tokio::test]
async fn nobody_else_may_read_it() {
    let scene = Scene::new(Bounds::default());
    fs::write(scene.path(), "").unwrap();
    fs::set_permissions(scene.path(), fs::Permissions::from_mode(0o644)).unwrap();
    scene.open().await;
    assert_eq!(mode(&scene.path()), 0o600);
}

#[tokio::test]
async fn what_is_no_file_of_its_own_is_not_written() {
    let scene = Scene::new(Bounds::default());
    let other = scene.dir.path().join("other");
    fs::write(&other, "precious").unwrap();
    symlink(&other, scene.path()).unwrap();
    let error = scene.try_open().await.unwrap_err();
    assert!(matches!(error, AuditError::NotAFile(_)), "{error}");
    assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
    fs::remove_file(scene.path()).unwrap();
    symlink("nowhere", scene.path()).unwrap();
    assert!(scene.try_open().await.is_err());
    assert!(!scene.dir.path().join("nowhere").exists());
    fs::remove_file(scene.path()).unwrap();
    fs::create_dir(scene.path()).unwrap();
    assert!(scene.try_open().await.is_err());
}

#[tokio::test]
async fn half_a_line_is_cut_off_and_said() {
    let scene = Scene::new(Bounds::default());
    scene.open().await.append(event(1)).await.unwrap();
    let whole = fs::read(scene.path()).unwrap();
    // Wherever the machine stopped.
    let last = whole[..whole.len() - 1]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .unwrap()
        + 1;
    for end in [last + 1, last + 20, whole.len() - 1] {
        fs::write(scene.path(), &whole[..end]).unwrap();
        let file = scene.open().await;
        assert_eq!(scene.verified(), file.head());
        let events = scene.events();
        let [
            Event::Opened { .. },
            Event::Truncated { bytes, text },
            Event::Opened { .. },
        ] = &events[..]
        else {
            panic!("{events:?}")
        };
        assert_eq!(*bytes as usize, end - last);
        assert_eq!(text.as_bytes(), &whole[last..end]);
    }
}

#[tokio::test]
async fn a_break_is_said_and_stays() {
    let scene = Scene::new(Bounds::default());
    scene.open().await.append(event(1)).await.unwrap();
    let text = fs::read_to_string(scene.path()).unwrap();
    fs::write(scene.path(), text.replace("opened", "Opened")).unwrap();
    let mut file = scene.open().await;
    file.append(event(2)).await.unwrap();
    let text = fs::read_to_string(scene.path()).unwrap();
    assert!(text.contains(r#""event":"chain-broken""#), "{text}");
    let mut chain = Chain::default();
    let broken = chain.take_file(text.as_bytes()).unwrap_err();
    assert_eq!((broken.line, broken.why), (2, Why::Hash));
    let head = file.head();
    assert_eq!(chain.last, Some((head.seq, head.hash)));
}

#[tokio::test]
async fn a_large_file_is_followed_by_another_with_the_same_chain() {
    let bounds = Bounds {
        file: 1000,
        earlier: 3,
    };
    let scene = Scene::new(bounds);
    let mut file = scene.open().await;
    for n in 0..12 {
        file.append(event(n)).await.unwrap();
        assert_eq!(scene.verified(), file.head());
    }
    assert!(scene.files().len() > 1, "{:?}", scene.files());
    // The first line is still there, so nothing may be missing.
    let mut chain = Chain::default();
    chain.take_file(&scene.bytes()).unwrap();
    assert_eq!(chain.first, Some(1));
    for n in 0..40 {
        file.append(event(n)).await.unwrap();
        assert_eq!(scene.verified(), file.head());
    }
    let files = scene.files();
    assert_eq!(files.len(), 4, "{files:?}");
    for file in files {
        assert!(fs::metadata(&file).unwrap().len() < 1500, "{file:?}");
        assert_eq!(mode(&file), 0o600);
    }
    drop(file);
    let file = scene.open().await;
    assert_eq!(scene.verified(), file.head());
}

/// The machine stops after the file was renamed, and before there was another.
#[tokio::test]
async fn the_chain_survives_a_crash_in_a_rotation() {
    let scene = Scene::new(Bounds::default());
    let mut file = scene.open().await;
    file.append(event(1)).await.unwrap();
    let name = format!("audit.jsonl.{:020}", file.head().seq);
    fs::rename(scene.path(), scene.dir.path().join(&name)).unwrap();
    for empty in [false, true] {
        if empty {
            fs::write(scene.path(), "").unwrap();
        }
        let file = scene.open().await;
        assert_eq!(scene.verified(), file.head());
        let events = scene.events();
        let continued = Event::Continued { file: name.clone() };
        assert_eq!(events[2], continued);
    }
}

#[tokio::test]
async fn what_hax_cannot_have_written_is_not_read() {
    let scene = Scene::new(Bounds {
        file: 1000,
        earlier: 1,
    });
    let file = fs::File::create(scene.path()).unwrap();
    file.set_len(3 * LINE_MAX).unwrap();
    let error = scene.try_open().await.unwrap_err();
    assert!(matches!(error, AuditError::TooLarge(_)), "{error}");
}
