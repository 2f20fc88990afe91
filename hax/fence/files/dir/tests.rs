use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use super::*;

/// Somebody who is nobody here.
const STRANGER: u32 = 54_321;

struct Place {
    root: tempfile::TempDir,
    dir: Dir,
}

fn place(trust: &[u32]) -> Place {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("dir");
    std::fs::create_dir(&path).unwrap();
    let dir = Dir::open(&path, Trust(trust.to_vec())).unwrap();
    Place { root, dir }
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, "{}").unwrap();
        path
    }
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: only root can give a file away");
    }
    root
}

#[test]
fn a_file_is_read_through_no_link_and_no_pipe() {
    let place = place(&[]);
    let file = place.put("file");
    assert_eq!(place.dir.read("file").unwrap().bytes, b"{}");
    assert!(matches!(place.dir.read("none"), Err(Unreadable::Missing)));
    // The target is what may be read otherwise: it is the link that is refused.
    symlink(&file, place.path("symlink")).unwrap();
    symlink("nowhere", place.path("dangling")).unwrap();
    std::fs::create_dir(place.path("directory")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        place.path("pipe"),
        FileType::Fifo,
        Mode::RUSR | Mode::WUSR,
        0,
    )
    .unwrap();
    for name in ["symlink", "dangling", "directory", "pipe"] {
        let read = place.dir.read(name);
        assert!(
            matches!(read, Err(Unreadable::NotRegular)),
            "{name}: {read:?}"
        );
    }
    std::fs::hard_link(&file, place.root.path().join("second name")).unwrap();
    let read = place.dir.read("file");
    assert!(matches!(read, Err(Unreadable::NotRegular)), "{read:?}");
}

#[test]
fn a_file_is_read_up_to_its_bound() {
    let place = place(&[]);
    let max = usize::try_from(FILE_MAX).unwrap();
    std::fs::write(place.path("file"), vec![b' '; max]).unwrap();
    assert_eq!(place.dir.read("file").unwrap().bytes.len(), max);
    std::fs::write(place.path("file"), vec![b' '; max + 1]).unwrap();
    assert!(matches!(place.dir.read("file"), Err(Unreadable::Size)));
}

#[test]
fn a_strangers_file_is_not_read_and_is_no_mark() {
    if !is_root() {
        return;
    }
    let strict = place(&[]);
    let file = strict.put("file");
    chown(&file, Some(STRANGER), None).unwrap();
    let read = strict.dir.read("file");
    assert!(matches!(read, Err(Unreadable::Owner(STRANGER))), "{read:?}");
    assert!(!strict.dir.is_marked("file"));
    let lenient = place(&[STRANGER]);
    let file = lenient.put("file");
    chown(&file, Some(STRANGER), None).unwrap();
    lenient.dir.read("file").unwrap();
    assert!(lenient.dir.is_marked("file"));
    // Who owns the directory could put anything there.
    chown(strict.dir.path(), Some(STRANGER), None).unwrap();
    let owned = Dir::open(strict.dir.path(), Trust::default()).unwrap();
    owned.read("file").unwrap();
}

#[test]
fn a_private_directory_is_nobody_elses() {
    let place = place(&[]);
    place.dir.private(".taken").unwrap();
    let path = place.path(".taken");
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o700);
    for open in [0o770, 0o702] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(open)).unwrap();
        let opened = place.dir.private(".taken");
        assert!(matches!(opened, Err(DirError::WorldWritable(..))));
    }
    if is_root() {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        chown(&path, Some(STRANGER), None).unwrap();
        let opened = place.dir.private(".taken");
        assert!(matches!(opened, Err(DirError::Owner(_, STRANGER))));
    }
    std::fs::remove_dir(&path).unwrap();
    symlink(place.root.path(), &path).unwrap();
    assert!(matches!(
        place.dir.private(".taken"),
        Err(DirError::Open(..))
    ));
}

#[test]
fn what_is_missing_is_made_and_nobody_else_may_write_it() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("run/fence/requests");
    Dir::make(&path, Trust::default()).unwrap();
    for path in path.ancestors().take(3) {
        let mode = std::fs::metadata(path).unwrap().mode();
        assert_eq!(mode & 0o022, 0, "{}: {mode:o}", path.display());
    }
    std::fs::write(root.path().join("file"), "").unwrap();
    let made = Dir::make(&root.path().join("file/requests"), Trust::default());
    assert!(matches!(made, Err(DirError::Make(..))), "{made:?}");
}

#[test]
fn a_directory_that_was_replaced_is_seen() {
    let place = place(&[]);
    assert!(!place.dir.has_moved());
    std::fs::rename(place.dir.path(), place.root.path().join("aside")).unwrap();
    assert!(place.dir.has_moved());
    std::fs::create_dir(place.dir.path()).unwrap();
    assert!(place.dir.has_moved());
}

#[test]
fn of_two_who_rename_a_file_one_has_it() {
    let place = place(&[]);
    let taken = place.dir.private(".taken").unwrap();
    place.put("file");
    assert!(place.dir.rename("file", &taken, "file").unwrap());
    assert!(!place.dir.rename("file", &taken, "file").unwrap());
    assert!(taken.remove("file").unwrap());
    assert!(!taken.remove("file").unwrap());
}
