use super::*;
use natterjack_core::jwt::{Account, Claims};
use nkeys::KeyPair;
use std::time::Duration;

const SECOND: i64 = 1_000_000_000;
const NOW: i64 = 1_700_000_000 * SECOND;

fn options(dir: &Path, edit: impl FnOnce(&mut DirectoryResolver)) -> DirectoryResolver {
    let mut options = DirectoryResolver {
        dir: dir.to_string_lossy().into_owned(),
        is_cache: false,
        delete: Deletion::Rename,
        limit: None,
        interval: None,
        timeout: Duration::from_secs(1),
        ttl: None,
    };
    edit(&mut options);
    options
}

fn open(options: DirectoryResolver) -> (Store, Vec<String>) {
    let mut reports = Vec::new();
    let mut report = |path: &Path, why: &str| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        reports.push(format!("{name}: {why}"));
    };
    let store = Store::open(options, NOW, &mut report).unwrap();
    reports.sort();
    (store, reports)
}

/// An account and its token.
fn account(exp: i64) -> (String, String) {
    let key = KeyPair::new_account().public_key();
    let mut claims = Claims::<Account>::new("x", &key);
    claims.exp = exp;
    let token = claims.encode(&KeyPair::new_operator(), NOW / SECOND).unwrap();
    (key, token)
}

// Shows U-111.
#[test]
fn what_is_saved_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(options(dir.path(), |_| {}));
    let (key, token) = account(0);
    assert!(store.save(&key, &token, NOW).unwrap());
    assert!(!store.save(&key, &token, NOW).unwrap(), "it is the same");
    let (mut again, reports) = open(options(dir.path(), |_| {}));
    assert_eq!(again.load(&key, NOW).unwrap(), Some(token));
    assert_eq!((again.keys(), again.hash()), (vec![key.clone()], store.hash()));
    assert_eq!(reports, [""; 0]);
    assert!(again.delete(&key).unwrap());
    assert!(!again.delete(&key).unwrap(), "it is gone");
    assert_eq!((again.load(&key, NOW).unwrap(), again.hash()), (None, [0; 32]));
    assert!(dir.path().join(format!("{key}.jwt.deleted")).exists());
}

#[test]
fn broken_files_are_reported_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (key, token) = account(0);
    let (other, _) = account(0);
    let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
    write(&format!("{key}.jwt"), &token.as_bytes()[..40]);
    write(&format!("{other}.jwt"), token.as_bytes());
    write("name.jwt", token.as_bytes());
    write("binary.jwt", &[0xff, 0xfe]);
    write("notes.txt", b"mine");
    write(&format!("{key}.jwt.new"), b"half");
    let (mut store, reports) = open(options(dir.path(), |_| {}));
    assert_eq!(reports.len(), 4, "{reports:?}");
    assert_eq!(store.load(&key, NOW).unwrap(), None);
    assert!(dir.path().join(format!("{key}.jwt")).exists());
    assert!(dir.path().join("notes.txt").exists());
    assert!(!dir.path().join(format!("{key}.jwt.new")).exists());
    // A good one takes its place.
    assert!(store.save(&key, &token, NOW).unwrap());
    assert_eq!(store.load(&key, NOW).unwrap(), Some(token));
}

#[test]
fn nothing_but_keys_become_paths() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(options(dir.path(), |_| {}));
    let (_, token) = account(0);
    for name in ["../x", "", "A", "/etc/passwd"] {
        assert!(matches!(store.save(name, &token, NOW), Err(StoreError::Key)), "{name}");
        assert!(matches!(store.load(name, NOW), Err(StoreError::Key)), "{name}");
        assert!(matches!(store.delete(name), Err(StoreError::Key)), "{name}");
    }
}

#[test]
fn a_full_directory_refuses_and_a_full_cache_forgets_what_was_used_least() {
    let dir = tempfile::tempdir().unwrap();
    let (mut full, _) = open(options(dir.path(), |it| it.limit = Some(1)));
    let (first, second, third) = (account(0), account(0), account(0));
    full.save(&first.0, &first.1, NOW).unwrap();
    assert!(matches!(full.save(&second.0, &second.1, NOW), Err(StoreError::Full)));
    let cached = |it: &mut DirectoryResolver| {
        it.is_cache = true;
        it.limit = Some(2);
    };
    let (mut cache, _) = open(options(dir.path(), cached));
    cache.save(&second.0, &second.1, NOW).unwrap();
    cache.load(&first.0, NOW).unwrap();
    cache.save(&third.0, &third.1, NOW).unwrap();
    assert_eq!(cache.load(&second.0, NOW).unwrap(), None);
    assert!(cache.load(&first.0, NOW).unwrap().is_some());
}

#[test]
fn what_expired_goes() {
    let dir = tempfile::tempdir().unwrap();
    let (mut full, _) = open(options(dir.path(), |_| {}));
    let (brief, lasting) = (account(NOW / SECOND + 10), account(0));
    full.save(&brief.0, &brief.1, NOW).unwrap();
    full.save(&lasting.0, &lasting.1, NOW).unwrap();
    full.expire(NOW + 9 * SECOND);
    assert_eq!(full.keys().len(), 2);
    full.expire(NOW + 10 * SECOND);
    assert_eq!(full.keys(), std::slice::from_ref(&lasting.0));
    let (mut cache, _) = open(options(dir.path(), |it| it.ttl = Some(Duration::from_secs(5))));
    cache.load(&lasting.0, NOW + 4 * SECOND).unwrap();
    cache.expire(NOW + 8 * SECOND);
    assert_eq!(cache.keys().len(), 1, "it was used");
    cache.expire(NOW + 9 * SECOND);
    assert_eq!(cache.keys().len(), 0);
}

#[test]
fn changes_made_beside_the_server_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(options(dir.path(), |_| {}));
    let (key, token) = account(0);
    fs::write(dir.path().join(format!("{key}.jwt")), &token).unwrap();
    let mut report = |_: &Path, _: &str| {};
    assert_eq!(store.scan(NOW, &mut report).unwrap(), [key]);
    assert_eq!(store.scan(NOW, &mut report).unwrap(), [""; 0]);
}
