//! Objects in buckets.

use std::sync::{Arc, Mutex};

use natterjack::objects::{ObjectEvent, ObjectInfo, ObjectWatch};
use natterjack::testing::server_with;
use natterjack::{Error, Event, kib, mib, secs};
use serde_json::{Value, json};

use crate::gate::Gate;
use crate::{PATIENCE, builder, connect, event, server};

/// A body whose every place differs from its neighbours.
fn body(size: u64) -> Vec<u8> {
    (0..size).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect()
}

/// Where progress is noted.
fn noting() -> (Arc<Mutex<Vec<u64>>>, impl FnMut(u64) + Send + 'static) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = seen.clone();
    (seen, move |bytes| note.lock().unwrap().push(bytes))
}

// Shows U-053.
#[tokio::test]
async fn a_big_object_goes_in_and_comes_out_with_progress() {
    let server = server().await;
    let connector = connect(&server).await;
    let files = connector.objects("FILES").ensure().await.unwrap();
    let size = mib(64).bytes();
    let original = body(size);
    let (put, note) = noting();
    let sent = files.put("big file.bin", std::io::Cursor::new(original.clone()));
    let info = sent.chunk(kib(512)).description("big").on_progress(note).await.unwrap();
    assert_eq!((info.size, info.chunks, info.description.as_str()), (size, 128, "big"));
    let steps: Vec<u64> = (1..=128).map(|n| n * kib(512).bytes()).collect();
    assert_eq!(*put.lock().unwrap(), steps);

    let (got, note) = noting();
    let mut copy = Vec::new();
    let found = files.get("big file.bin").on_progress(note).write_to(&mut copy).await.unwrap();
    assert_eq!(found, info);
    assert!(copy == original, "the body is another one");
    assert_eq!(*got.lock().unwrap(), steps);
    connector.close().await.unwrap();
}

// Shows U-053.
#[tokio::test]
async fn a_damaged_object_is_not_taken_for_good() {
    let server = server().await;
    let connector = connect(&server).await;
    let files = connector.objects("F").ensure().await.unwrap();
    for (name, swap) in [("swapped", true), ("short", false)] {
        let original = body(3000);
        let info = files.put(name, &original[..]).chunk(kib(1)).send().await.unwrap();
        assert_eq!(files.get(name).bytes().await.unwrap(), original);
        let subject = format!("$O.F.C.{}", info.nuid);
        let call = |verb: &str| format!("$JS.API.STREAM.MSG.{verb}.OBJ_F");
        let question = json!({"seq": 0, "next_by_subj": subject});
        let first: Value = connector.request(&call("GET"), &question).await.unwrap();
        let seq = &first["message"]["seq"];
        let done: Value = connector.request(&call("DELETE"), &json!({"seq": seq})).await.unwrap();
        assert_eq!(done["success"], true, "{done}");
        if swap {
            // As long as what was taken away.
            let other = connector.ask(subject).codec(natterjack::codec::Binary);
            other.send::<[u8], Vec<u8>>(&[0; 1024]).await.unwrap();
        }
        let error = Error::from(files.get(name).bytes().await.unwrap_err());
        let Error::DigestMismatch(mismatch) = error else { panic!("{error}") };
        assert_eq!((mismatch.name.as_str(), &mismatch.wanted), (name, &info.digest));
        assert_ne!(mismatch.found, info.digest);
    }
    connector.close().await.unwrap();
}

async fn next(watch: &mut ObjectWatch) -> ObjectEvent {
    tokio::time::timeout(PATIENCE, watch.next()).await.expect("an event comes").unwrap()
}

async fn put(watch: &mut ObjectWatch) -> ObjectInfo {
    match next(watch).await {
        ObjectEvent::Put(info) => info,
        other => panic!("{other:?}"),
    }
}

// Shows U-053.
#[tokio::test]
async fn objects_are_replaced_deleted_linked_and_watched() {
    let server = server().await;
    let connector = connect(&server).await;
    let files = connector.objects("A").ensure().await.unwrap();
    let others = connector.objects("B").ensure().await.unwrap();
    let mut watch = files.watch().await.unwrap();
    assert_eq!(next(&mut watch).await, ObjectEvent::Ready);

    let first = files.put("o", &b"first"[..]).header("x", "y").metadata("k", "v");
    let first = first.send().await.unwrap();
    assert_eq!(put(&mut watch).await, first);
    assert_eq!((first.headers["x"][0].as_str(), first.metadata["k"].as_str()), ("y", "v"));
    let second = files.put("o", &b"the second"[..]).send().await.unwrap();
    assert_eq!(put(&mut watch).await, second);
    assert_eq!(files.get("o").bytes().await.unwrap(), "the second");
    let empty = files.put("empty", tokio::io::empty()).await.unwrap();
    assert_eq!((empty.size, empty.chunks), (0, 0));
    assert_eq!(put(&mut watch).await, empty);
    assert_eq!(files.get("empty").bytes().await.unwrap(), "");

    // A link, also from another bucket; not to a link, nor in the place of an object.
    let link = others.link("elsewhere", &second).await.unwrap();
    assert_eq!(others.get("elsewhere").bytes().await.unwrap(), "the second");
    assert_eq!(link.link().map(|to| (to.bucket.as_str(), to.name.as_str())), Some(("A", "o")));
    assert_eq!(others.link("twice", &link).await.unwrap_err().code(), "js.bad_name");
    assert_eq!(files.link("empty", &second).await.unwrap_err().code(), "js.conflict");
    others.link_bucket("all", "A").await.unwrap();
    assert_eq!(others.get("all").bytes().await.unwrap_err().code(), "js.bad_name");
    let names = others.list().await.unwrap().into_iter().map(|info| info.name);
    assert_eq!(names.collect::<Vec<_>>(), ["all", "elsewhere"]);

    files.delete("o").await.unwrap();
    let ObjectEvent::Deleted(gone) = next(&mut watch).await else { panic!("no deletion") };
    assert_eq!((gone.name.as_str(), gone.size, gone.chunks), ("o", 0, 0));
    for error in [
        files.get("o").bytes().await.unwrap_err(),
        files.info("o").await.unwrap_err(),
        files.delete("o").await.unwrap_err(),
        others.get("elsewhere").bytes().await.unwrap_err(),
        files.get("never").bytes().await.unwrap_err(),
    ] {
        let Error::NotFound(missing) = error.into() else { panic!("not a NotFound") };
        assert_eq!(missing.kind, "object");
    }
    let names = files.list().await.unwrap().into_iter().map(|info| info.name);
    assert_eq!(names.collect::<Vec<_>>(), ["empty"]);
    // No piece is left of what was replaced and deleted: two descriptions are all there is.
    let stream = connector.jetstream().stream("OBJ_A").get().await.unwrap();
    assert_eq!(stream.cached_info().messages, 2);

    files.seal().await.unwrap();
    assert_eq!(files.put("late", &b"x"[..]).send().await.unwrap_err().code(), "js.api");
    let missing = connector.objects("C").open().await.unwrap_err();
    assert_eq!(missing.to_string(), "bucket C not found");
    connector.close().await.unwrap();
}

#[tokio::test]
async fn a_reader_that_fails_leaves_nothing_behind_and_the_old_object_in_place() {
    use tokio::io::AsyncReadExt as _;

    let server = server().await;
    let connector = connect(&server).await;
    let files = connector.objects("A").ensure().await.unwrap();
    files.put("o", &b"old"[..]).send().await.unwrap();
    let broken = std::io::Cursor::new(body(1500)).chain(Failing);
    let error = files.put("o", broken).chunk(kib(1)).await.unwrap_err();
    assert_eq!(error.code(), "object.io");
    assert_eq!(error.to_string(), "reading object o: no more");
    assert_eq!(files.get("o").bytes().await.unwrap(), "old");
    let stream = connector.jetstream().stream("OBJ_A").get().await.unwrap();
    assert_eq!(stream.cached_info().messages, 2);
    connector.close().await.unwrap();
}

/// A reader that fails.
struct Failing;

impl tokio::io::AsyncRead for Failing {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
        _buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Err(std::io::Error::other("no more")))
    }
}

// Objects of other clients, and ours in theirs.
#[tokio::test]
async fn async_nats_reads_what_is_put_here_and_the_reverse() {
    use tokio::io::AsyncReadExt as _;

    let server = server().await;
    let connector = connect(&server).await;
    let files = connector.objects("X").ensure().await.unwrap();
    let theirs = async_nats::jetstream::new(connector.raw().unwrap());
    let theirs = theirs.get_object_store("X").await.unwrap();
    let info = files.put("ours/a b", std::io::Cursor::new(body(300_000))).await.unwrap();
    let mut copy = Vec::new();
    theirs.get("ours/a b").await.unwrap().read_to_end(&mut copy).await.unwrap();
    assert!(copy == body(300_000));
    let seen = theirs.info("ours/a b").await.unwrap();
    assert_eq!((seen.size as u64, seen.digest.as_deref()), (info.size, Some(&*info.digest)));
    theirs.put("theirs", &mut &body(200_000)[..]).await.unwrap();
    assert!(files.get("theirs").bytes().await.unwrap() == body(200_000));
    theirs.delete("theirs").await.unwrap();
    assert_eq!(files.info("theirs").await.unwrap_err().code(), "js.not_found");
    connector.close().await.unwrap();
}

/// Writes what a bucket knows of an object, as somebody else could.
async fn describe(connector: &natterjack::Connector, bucket: &str, mut info: Value) {
    info["bucket"] = bucket.into();
    let name = info["name"].as_str().unwrap();
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE, name);
    let _: Value = connector.request(&format!("$O.{bucket}.M.{encoded}"), &info).await.unwrap();
}

#[tokio::test]
async fn what_others_wrote_about_an_object_touches_no_other() {
    let server = server().await;
    let connector = connect(&server).await;
    let files = connector.objects("A").ensure().await.unwrap();
    files.put("good", &b"good"[..]).send().await.unwrap();
    for nuid in [">", "*", "", "a b", "a.b"] {
        let info = json!({"name": "evil", "nuid": nuid, "size": 4, "chunks": 1});
        describe(&connector, "A", info.clone()).await;
        let error = files.get("evil").bytes().await.unwrap_err();
        assert_eq!(error.code(), "js.bad_reply", "{nuid:?}: {error}");
        files.put("evil", &b"new"[..]).send().await.unwrap();
        assert_eq!(files.get("evil").bytes().await.unwrap(), "new", "{nuid:?}");
        describe(&connector, "A", info).await;
        files.delete("evil").await.unwrap();
        assert_eq!(files.get("good").bytes().await.unwrap(), "good", "{nuid:?}");
    }
    // Nor does a link lead out of the subjects of buckets.
    let link = json!({"bucket": "A.>", "name": "good"});
    let info = json!({"name": "out", "nuid": "n", "options": {"link": link}});
    describe(&connector, "A", info).await;
    let error = files.get("out").bytes().await.unwrap_err();
    assert_eq!(error.to_string(), "bad bucket name `A.>`: `.` at position 2 is not allowed");
    connector.close().await.unwrap();
}

#[tokio::test]
async fn a_link_that_cannot_be_followed_says_what_to_get() {
    let server = server().await;
    let connector = connect(&server).await;
    let files = connector.objects("A").ensure().await.unwrap();
    files.link_bucket("all", "B").await.unwrap();
    let error = files.get("all").bytes().await.unwrap_err();
    assert_eq!(error.to_string(), "bad object name `all`: it is a link to the bucket B, open that");
    connector.close().await.unwrap();
}

#[tokio::test]
async fn an_object_whose_last_acknowledgement_is_lost_keeps_its_pieces() {
    let server = server().await;
    let connector = connect(&server).await;
    let files = connector.objects("A").ensure().await.unwrap();
    let gate = Arc::new(Gate::before(&server.url()).await);
    let behind = builder(&gate.url).build().await.unwrap();
    let theirs = behind.jetstream().timeout(secs(5)).objects("A").open().await.unwrap();
    // What the server says to the description, which follows the only piece, does not arrive.
    let shut = gate.clone();
    let put = theirs.put("o", &b"body"[..]).on_progress(move |_| shut.hold());
    assert_eq!(put.send().await.unwrap_err().code(), "conn.timeout");
    gate.release();
    // Behind all that it may have sent.
    behind.drain().await.unwrap();
    assert_eq!(files.get("o").bytes().await.unwrap(), "body");
    connector.close().await.unwrap();
}

#[tokio::test]
async fn an_object_is_put_though_the_one_before_it_cannot_be_removed() {
    let users = "authorization { users: [
        { user: a, password: a },
        { user: b, password: b, permissions: { publish: { deny: \"$JS.API.STREAM.PURGE.>\" } } } ] }";
    let server = server_with(|server| server.config(users).unwrap()).await.unwrap();
    let login = |user: &str| builder(server.url().replace("//", &format!("//{user}:{user}@")));
    let owner = login("a").build().await.unwrap();
    owner.objects("A").ensure().await.unwrap().put("o", &b"old"[..]).send().await.unwrap();
    let connector = login("b").build().await.unwrap();
    let mut events = connector.events();
    let files = connector.objects("A").open().await.unwrap();
    let info = files.put("o", &b"new"[..]).send().await.unwrap();
    assert_eq!(files.info("o").await.unwrap(), info);
    assert_eq!(files.get("o").bytes().await.unwrap(), "new");
    let told = event(&mut events, |event| match event {
        Event::Background { error } => Some(error.code()),
        _ => None,
    });
    assert_eq!(told.await, "auth.permission");
    connector.close().await.unwrap();
}
