use super::*;
use camlock_policy::{
    Fingerprint, Kept,
    registry::{Claim, Exchange},
};
use camlock_testing::MemoryRegistry;
use std::{os::unix::fs::PermissionsExt, time::SystemTime};

/// A directory that servers share, and each server's own.
struct SharedDirectory {
    dir: tempfile::TempDir,
}

impl SharedDirectory {
    fn new() -> Self {
        let place = SharedDirectory { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(place.shared()).unwrap();
        place
    }

    fn shared(&self) -> PathBuf {
        self.dir.path().join("shared artifacts")
    }

    fn own(&self) -> PathBuf {
        self.dir.path().join("own/fetched")
    }

    fn objects(&self) -> Objects {
        Objects::open(Url::from_file_path(self.shared()).unwrap().as_str(), []).unwrap()
    }

    /// A library as the loader keeps it.
    fn library(&self, bytes: &[u8]) -> (Digest, PathBuf) {
        let path = self.dir.path().join(Digest::of(bytes).hex());
        fs::write(&path, bytes).unwrap();
        (Digest::of(bytes), path)
    }

    /// Where an artifact lies in the store.
    fn object(&self, digest: Digest) -> PathBuf {
        let hex = digest.hex();
        self.shared().join("sha256").join(&hex[..2]).join(format!("{hex}.so"))
    }
}

fn names(directory: &Path) -> Vec<String> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn what_one_server_puts_another_gets() {
    let place = SharedDirectory::new();
    // Larger than one piece of a stream.
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let (digest, library) = place.library(&bytes);
    let (one, other) = (place.objects(), place.objects());
    assert_eq!(other.get(digest, &place.own()).await, Ok(None));

    // Twice, and at once: it is the same for everybody.
    let (first, second) = tokio::join!(one.put(digest, &library), other.put(digest, &library));
    assert_eq!((first, second), (Ok(()), Ok(())));
    assert_eq!(fs::read(place.object(digest)).unwrap(), bytes);

    let got = other.get(digest, &place.own()).await.unwrap().unwrap();
    assert_eq!(got, place.own().join(format!("{}.so", digest.hex())));
    assert_eq!(fs::read(&got).unwrap(), bytes);
    assert_eq!(fs::metadata(&got).unwrap().permissions().mode() & 0o777, 0o600);
    // Once more, over the first one; nothing else is left there.
    assert_eq!(other.get(digest, &place.own()).await.unwrap().unwrap(), got);
    assert_eq!(names(&place.own()).len(), 1);

    assert_eq!(one.delete(digest).await, Ok(()));
    assert_eq!(one.delete(digest).await, Ok(()), "it is gone already");
    assert_eq!(other.get(digest, &place.own()).await, Ok(None));
}

#[tokio::test]
async fn other_bytes_than_the_name_says_are_not_handed_out() {
    let place = SharedDirectory::new();
    let objects = place.objects();
    let (digest, library) = place.library(b"the library");
    objects.put(digest, &library).await.unwrap();
    for rotten in ["the librarY", "the lib", "", "the library and more"] {
        fs::write(place.object(digest), rotten).unwrap();
        let told = objects.get(digest, &place.own()).await.unwrap_err().to_string();
        let (shared, hex) = (place.shared(), digest.hex());
        let key = format!("{}/sha256/{}/{hex}.so", objects.prefix, &hex[..2]);
        assert_eq!(
            told,
            format!(
                "{} holds other bytes for the artifact {digest} than its name says: delete {key} there, and reload the \
                 plugin on a server that has it",
                shared.display()
            )
        );
        assert_eq!(names(&place.own()), Vec::<String>::new(), "nothing of it is left");
    }
    // Who has the right bytes puts them in their place.
    objects.put(digest, &library).await.unwrap();
    assert!(objects.get(digest, &place.own()).await.unwrap().is_some());
}

#[tokio::test]
async fn only_what_it_says_it_is_is_shared() {
    let place = SharedDirectory::new();
    let objects = place.objects();
    let (digest, library) = place.library(b"the library");
    fs::write(&library, "replaced by a build").unwrap();
    let told = |why: &str| format!("the artifact {digest} at {} is not shared: {why}", library.display());
    let refused = objects.put(digest, &library).await.unwrap_err().to_string();
    assert_eq!(refused, told("its bytes are not what they were"));
    fs::remove_file(&library).unwrap();
    let refused = objects.put(digest, &library).await.unwrap_err().to_string();
    assert_eq!(refused, told("no such file or directory"));
    assert_eq!(names(&place.shared()), Vec::<String>::new());
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_told_and_not_made() {
    let place = SharedDirectory::new();
    let objects = place.objects();
    let (digest, library) = place.library(b"the library");
    let shared = place.shared().display().to_string();
    fs::remove_dir(place.shared()).unwrap();
    let gone = |doing| {
        format!("the artifact {digest} cannot be {doing} {shared}: there is no such directory; make it, or mount it")
    };
    assert_eq!(objects.put(digest, &library).await.unwrap_err().to_string(), gone("stored in"));
    assert_eq!(objects.get(digest, &place.own()).await.unwrap_err().to_string(), gone("fetched from"));
    assert_eq!(objects.delete(digest).await.unwrap_err().to_string(), gone("deleted from"));
    assert!(!place.shared().exists());

    fs::write(place.shared(), "a file").unwrap();
    let told = objects.get(digest, &place.own()).await.unwrap_err().to_string();
    let why = "it is no directory; correct artifacts.url";
    assert_eq!(told, format!("the artifact {digest} cannot be fetched from {shared}: {why}"));

    // As soon as it is there it serves.
    fs::remove_file(place.shared()).unwrap();
    fs::create_dir(place.shared()).unwrap();
    assert_eq!(objects.put(digest, &library).await, Ok(()));
}

#[tokio::test]
async fn what_cannot_be_written_here_is_told() {
    let place = SharedDirectory::new();
    let objects = place.objects();
    let (digest, library) = place.library(b"the library");
    objects.put(digest, &library).await.unwrap();
    let into = place.dir.path().join("a-file");
    fs::write(&into, "").unwrap();
    let told = objects.get(digest, &into).await.unwrap_err().to_string();
    let begins = format!("the artifact {digest} cannot be written to {}: ", into.display());
    assert!(told.starts_with(&begins) && told.ends_with("; make room there, or mend its rights"), "{told}");
}

#[test]
fn what_the_system_refuses_is_told_with_what_to_do() {
    let place = SharedDirectory::new();
    let (objects, digest) = (place.objects(), Digest::of(b"the library"));
    let told = |kind: io::ErrorKind| {
        let error = Error::Generic { store: "LocalFileSystem", source: Box::new(io::Error::from(kind)) };
        objects.trouble(Doing::Storing, digest, &error).to_string()
    };
    let begins = format!("the artifact {digest} cannot be stored in {}: ", place.shared().display());
    let refused = told(io::ErrorKind::PermissionDenied);
    assert_eq!(refused, format!("{begins}permission denied; let the server's user read and write there"));
    assert_eq!(told(io::ErrorKind::StorageFull), format!("{begins}no storage space; make room there"));
    assert_eq!(told(io::ErrorKind::TimedOut), format!("{begins}timed out; it is tried again"));
}

#[test]
fn a_place_that_cannot_be_meant_is_told() {
    let told = |url: &str| Objects::open(url, []).unwrap_err().to_string();
    let wanted = "write `file:///a/directory` or `s3://bucket/prefix`";
    assert_eq!(told("/srv/artifacts"), format!("artifacts.url is no URL: {wanted}"));
    assert_eq!(told("ftp://host/x"), format!("artifacts.url begins with `ftp:`, which is not known: {wanted}"));
    assert_eq!(told("file://host/x"), format!("artifacts.url names no directory: {wanted}"));
    let why = "artifacts.url must not hold credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead";
    assert_eq!(told("s3://key:secret@bucket/x"), why);
    let told = if cfg!(feature = "s3") { not_built_in().to_string() } else { told("s3://bucket/x") };
    assert!(told.contains("was built without the feature `s3`: build it with `--features s3`"), "{told}");
}

fn kept(digest: Digest) -> Kept {
    let (name, version) = ("hello".to_owned(), "0.1.0".to_owned());
    Kept { name, version, fingerprint: Fingerprint("sources".to_owned()), digest, at: SystemTime::UNIX_EPOCH }
}

#[tokio::test]
async fn servers_share_through_it() {
    let place = SharedDirectory::new();
    let memory = MemoryRegistry::default();
    let exchange =
        |memory: MemoryRegistry| SharedExchange::new(Arc::new(memory), Arc::new(place.objects()), place.own());
    let (one, other) = (exchange(memory.clone()), exchange(memory.node("other")));
    let (digest, library) = place.library(b"the library");
    assert!(matches!(one.claim("hello", &kept(digest).fingerprint).await, Ok(Claim::Build(_))));
    assert_eq!(one.offer(&kept(digest), Some(library)).await, Ok(digest));

    let fetched = other.fetch(digest).await.unwrap().unwrap();
    assert_eq!(fs::read(fetched).unwrap(), b"the library");
    // The registry itself has no bytes.
    assert_eq!(memory.fetch(digest).await, Ok(None));
    assert_eq!(other.fetch(Digest::of(b"nobody's")).await, Ok(None));
    // What is only made known is not put there.
    let (unshared, _) = place.library(b"another");
    assert_eq!(
        one.offer(&Kept { fingerprint: Fingerprint("other sources".to_owned()), ..kept(unshared) }, None).await,
        Ok(unshared)
    );
    assert_eq!(other.fetch(unshared).await, Ok(None));
}

#[tokio::test]
async fn what_was_shared_before_is_still_found_and_trouble_is_told() {
    let place = SharedDirectory::new();
    let memory = MemoryRegistry::default();
    let (digest, library) = place.library(b"the library");
    memory.offer(&kept(digest), Some(library.clone())).await.unwrap();
    let exchange = SharedExchange::new(Arc::new(memory.clone()), Arc::new(place.objects()), place.own());
    assert_eq!(exchange.fetch(digest).await, Ok(Some(library.clone())));
    assert!(
        matches!(exchange.claim("hello", &kept(digest).fingerprint).await, Ok(Claim::Built(built)) if built == digest)
    );

    fs::remove_dir(place.shared()).unwrap();
    assert_eq!(exchange.fetch(digest).await, Ok(Some(library.clone())), "the registry has it");
    let failure = exchange.fetch(Digest::of(b"elsewhere")).await.unwrap_err();
    assert!(failure.transient && failure.reason.contains("there is no such directory"), "{failure}");
    let refused = exchange.offer(&kept(digest), Some(library)).await.unwrap_err().to_string();
    assert!(refused.contains("cannot be stored in"), "{refused}");
    memory.break_down(Some("the registry does not answer"));
    assert_eq!(exchange.fetch(digest).await.unwrap_err().stage, camlock_policy::Stage::Build);
}

#[cfg(feature = "s3")]
mod s3 {
    use super::*;
    use std::{
        collections::BTreeMap,
        net::SocketAddr,
        sync::{Mutex, PoisonError},
    };
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
    };

    /// The part of S3 that is used: objects by path. Signatures are not looked at.
    #[derive(Clone, Default)]
    struct Bucket {
        objects: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
        /// What is answered instead, if anything: a status and a code.
        refusal: Arc<Mutex<Option<(u16, &'static str)>>>,
    }

    impl Bucket {
        async fn serve(&self) -> SocketAddr {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let bucket = self.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(bucket.clone().connection(stream));
                }
            });
            address
        }

        async fn connection(self, mut stream: TcpStream) {
            let mut bytes = Vec::new();
            let end = loop {
                if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                    break end + 4;
                }
                if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                    return;
                }
            };
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let mut words = head.split(' ');
            let (method, path) = (words.next().unwrap(), words.next().unwrap().to_owned());
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = bytes.split_off(end);
            while body.len() < length.unwrap_or(0) {
                assert!(stream.read_buf(&mut body).await.unwrap() > 0);
            }
            let (status, answer) = self.answer(method, path, body);
            let head = format!(
                "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\netag: \"1\"\r\n\
                 last-modified: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n",
                answer.len()
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }

        fn answer(&self, method: &str, path: String, body: Vec<u8>) -> (u16, Vec<u8>) {
            let refused = |status, code| (status, format!("<Error><Code>{code}</Code></Error>").into_bytes());
            if let Some((status, code)) = *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) {
                return refused(status, code);
            }
            let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
            match method {
                "PUT" => {
                    objects.insert(path, body);
                    (200, Vec::new())
                }
                "DELETE" => {
                    objects.remove(&path);
                    (204, Vec::new())
                }
                _ => objects.get(&path).map_or_else(|| refused(404, "NoSuchKey"), |object| (200, object.clone())),
            }
        }
    }

    fn open(address: SocketAddr) -> Objects {
        let settings = [
            ("AWS_ACCESS_KEY_ID", "key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "planted-secret".to_owned()),
            ("AWS_REGION", "nowhere-1".to_owned()),
            ("AWS_ENDPOINT_URL", format!("http://{address}")),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("HOME", "/home/ana".to_owned()),
        ];
        Objects::open("s3://bucket/camlock", settings.map(|(name, value)| (name.to_owned(), value))).unwrap()
    }

    #[tokio::test]
    async fn a_bucket_serves_as_a_directory_does() {
        let (place, bucket) = (SharedDirectory::new(), Bucket::default());
        let objects = open(bucket.serve().await);
        let (digest, library) = place.library(b"the library");
        assert_eq!(objects.get(digest, &place.own()).await, Ok(None));
        objects.put(digest, &library).await.unwrap();
        let hex = digest.hex();
        let path = format!("/bucket/camlock/sha256/{}/{hex}.so", &hex[..2]);
        assert_eq!(bucket.objects.lock().unwrap().keys().collect::<Vec<_>>(), [&path]);
        let got = objects.get(digest, &place.own()).await.unwrap().unwrap();
        assert_eq!(fs::read(got).unwrap(), b"the library");
        bucket.objects.lock().unwrap().insert(path, b"rotten".to_vec());
        let told = objects.get(digest, &place.own()).await.unwrap_err().to_string();
        assert!(told.starts_with("s3://bucket/camlock holds other bytes for the artifact"), "{told}");
        objects.delete(digest).await.unwrap();
        assert_eq!(objects.get(digest, &place.own()).await, Ok(None));
    }

    #[tokio::test]
    async fn what_a_bucket_refuses_is_told_with_what_to_do() {
        let (place, bucket) = (SharedDirectory::new(), Bucket::default());
        let address = bucket.serve().await;
        let objects = open(address);
        let (digest, library) = place.library(b"the library");
        let cases = [
            (
                (403, "AccessDenied"),
                "access denied; look at the credentials (AWS_ACCESS_KEY_ID, …) and at the bucket's policy",
            ),
            ((404, "NoSuchBucket"), "there is no such bucket; make it, or correct artifacts.url"),
        ];
        for (refusal, why) in cases {
            *bucket.refusal.lock().unwrap() = Some(refusal);
            let told = objects.get(digest, &place.own()).await.unwrap_err().to_string();
            assert_eq!(told, format!("the artifact {digest} cannot be fetched from s3://bucket/camlock: {why}"));
            let told = objects.put(digest, &library).await.unwrap_err().to_string();
            assert_eq!(told, format!("the artifact {digest} cannot be stored in s3://bucket/camlock: {why}"));
        }
        // Nobody listens at port 1.
        let told = open(([127, 0, 0, 1], 1).into()).get(digest, &place.own()).await.unwrap_err().to_string();
        let why = "connection refused; it is tried again";
        assert_eq!(told, format!("the artifact {digest} cannot be fetched from s3://bucket/camlock: {why}"));
    }
}
