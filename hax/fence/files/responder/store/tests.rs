use std::path::Path;

use super::*;

struct Place {
    root: tempfile::TempDir,
    config: FilesConfig,
}

fn place() -> Place {
    let root = tempfile::tempdir().unwrap();
    let dir = |name: &str| {
        let dir = root.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        dir
    };
    let config = FilesConfig {
        request_dir: dir("requests"),
        response_dir: dir("responses"),
        max_age: Duration::from_secs(60),
        owners: Vec::new(),
    };
    Place { root, config }
}

fn put(dir: &Path, request: &Request) -> FileName {
    let name = request.file().unwrap();
    let bytes = serde_json::to_vec(request).unwrap();
    std::fs::write(dir.join(name.to_string()), bytes).unwrap();
    name
}

fn request(action: Action) -> Request {
    Request::new(action, "ssu1".parse().unwrap(), "m1".to_owned())
}

fn refused(verdict: Verdict) -> String {
    match verdict {
        Verdict::Refuse(response) => {
            assert!(!response.success);
            response.message
        }
        other => panic!("{other:?}"),
    }
}

fn recalled(verdict: Verdict) -> String {
    match verdict {
        Verdict::Recall(_, response) => {
            assert!(!response.success);
            response.message
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_is_taken_once_and_gone_on_with_after_any_step() {
    let place = place();
    let store = Store::open(&place.config).unwrap();
    let name = put(&place.config.request_dir, &request(Action::Off));
    assert_eq!(store.waiting(9).unwrap().0, std::slice::from_ref(&name));
    assert!(store.take(&name).unwrap());
    assert!(!store.take(&name).unwrap());
    // A crash here, or at any later place until it is answered, leads to the same request again.
    let store = Store::open(&place.config).unwrap();
    assert_eq!(store.taken().unwrap(), std::slice::from_ref(&name));
    assert!(matches!(
        store.judge(&name),
        Verdict::Ask {
            action: Action::Off,
            ..
        }
    ));
    let response = Response {
        success: true,
        ..refusal(&name, "off", "done")
    };
    // A crash while the response was written.
    std::fs::write(place.config.response_dir.join(name.temporary()), "{").unwrap();
    assert!(matches!(store.judge(&name), Verdict::Ask { .. }));
    store.answer(&name, &response).unwrap();
    // A crash before the request was removed: it is answered, not asked.
    let store = Store::open(&place.config).unwrap();
    assert_eq!(store.judge(&name), Verdict::Answered);
    store.finish(&name).unwrap();
    assert!(store.taken().unwrap().is_empty());
}

#[test]
fn what_does_not_fit_never_fires() {
    let place = place();
    let store = Store::open(&place.config).unwrap();
    let judge = |change: &dyn Fn(&mut Request)| {
        let mut request = request(Action::Reboot);
        let name = request.file().unwrap();
        change(&mut request);
        let bytes = serde_json::to_vec(&request).unwrap();
        std::fs::write(place.config.request_dir.join(name.to_string()), bytes).unwrap();
        assert!(store.take(&name).unwrap());
        store.judge(&name)
    };
    for look in ["status", "list", "monitor", "metadata", "Off", ""] {
        let why = refused(judge(&|it| it.action = look.to_owned()));
        assert!(why.contains("never a request"), "{look}: {why}");
    }
    let other = |it: &mut Request| it.target_node = "ssu2".parse().unwrap();
    assert!(refused(judge(&other)).contains("target_node"));
    let other = |it: &mut Request| it.request_id = crate::fence::model::OpId::new();
    assert!(refused(judge(&other)).contains("request_id"));
    let future = |it: &mut Request| it.timestamp = "2999-01-01T00:00:00Z".to_owned();
    assert!(refused(judge(&future)).contains("future"));
    let old = |it: &mut Request| it.timestamp = "2025-10-20T14:30:00Z".to_owned();
    assert!(recalled(judge(&old)).contains("expired"));
}

#[test]
fn a_mark_cancels_what_was_taken() {
    let place = place();
    let store = Store::open(&place.config).unwrap();
    let name = put(&place.config.request_dir, &request(Action::Off));
    assert!(store.take(&name).unwrap());
    std::fs::write(place.config.request_dir.join(name.cancel_mark()), "").unwrap();
    assert!(recalled(store.judge(&name)).contains("cancelled"));
    store.finish(&name).unwrap();
    assert!(!store.is_cancelled(&name));
}

#[test]
fn garbage_and_links_are_never_asked() {
    let place = place();
    let store = Store::open(&place.config).unwrap();
    let name = request(Action::Off).file().unwrap();
    let path = place.config.request_dir.join(name.to_string());
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    std::fs::write(place.config.request_dir.join("x.json"), "{}").unwrap();
    std::fs::write(place.config.request_dir.join(".x.tmp"), "{}").unwrap();
    let (names, others) = store.waiting(9).unwrap();
    assert!(names.is_empty());
    assert_eq!(others.len(), 2, "{others:?}");
    std::fs::remove_file(&path).unwrap();
    let large = vec![b' '; usize::try_from(super::super::super::FILE_MAX).unwrap() + 1];
    for bytes in [b"{".to_vec(), b"[]".to_vec(), vec![0xff], large] {
        std::fs::write(&path, bytes).unwrap();
        assert!(store.take(&name).unwrap());
        refused(store.judge(&name));
    }
}

#[test]
fn a_directory_for_everybody_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let place = place();
    let mode = |mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&place.config.request_dir, mode).unwrap();
    };
    mode(0o777);
    let error = Store::open(&place.config).unwrap_err();
    assert!(error.to_string().contains("chmod"), "{error}");
    mode(0o1777);
    Store::open(&place.config).unwrap();
    drop(place.root);
}
