//! The file of a Unix socket: whose it is, who may use it, and when it is removed.

use tempfile::TempDir;

use super::*;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ferrymq.sock");
    (directory, path)
}

fn open(path: &Path) -> Result<UnixSocket, OpenError> {
    UnixSocket::open(path, Mode(0o660))
}

#[tokio::test]
async fn its_permissions_are_those_of_the_configuration() {
    for mode in [0o600, 0o660, 0o777] {
        let (_directory, path) = place();
        let _socket = UnixSocket::open(&path, Mode(mode)).unwrap();
        let found = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{found:o}");
    }
}

#[tokio::test]
async fn its_file_is_removed_in_the_end() {
    let (_directory, path) = place();
    let socket = open(&path).unwrap();
    assert!(path.exists());
    drop(socket);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_that_nobody_answers_on_gives_way() {
    let (_directory, path) = place();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "std leaves the file behind, as a broker that was killed does");
    let socket = open(&path).unwrap();
    let (accepted, connected) = tokio::join!(socket.accept(), UnixStream::connect(&path));
    assert!(accepted.is_ok() && connected.is_ok());
}

#[tokio::test]
async fn a_socket_that_answers_stays_and_is_told() {
    let (_directory, path) = place();
    let first = open(&path).unwrap();
    assert!(matches!(open(&path), Err(OpenError::Taken)));
    let (accepted, connected) = tokio::join!(first.accept(), UnixStream::connect(&path));
    assert!(accepted.is_ok() && connected.is_ok(), "the first is as it was");
}

#[tokio::test]
async fn one_whose_queue_is_full_answers_as_well() {
    let (_directory, path) = place();
    let busy = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    busy.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    busy.listen(0).unwrap();
    let mut waiting = Vec::new();
    loop {
        let next = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        next.set_nonblocking(true).unwrap();
        let is_full = next.connect(&SockAddr::unix(&path).unwrap()).is_err();
        waiting.push(next);
        if is_full {
            break;
        }
    }
    assert!(matches!(open(&path), Err(OpenError::Taken)));
}

#[tokio::test]
async fn a_file_of_another_kind_is_never_removed() {
    let (directory, path) = place();
    fs::write(&path, "mine").unwrap();
    assert!(matches!(open(&path), Err(OpenError::OtherFile("a file that is no socket"))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    assert!(matches!(open(directory.path()), Err(OpenError::OtherFile("a directory"))));
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(open(&link), Err(OpenError::OtherFile("a symbolic link"))));
    assert!(link.exists());
    let datagrams = directory.path().join("datagrams");
    let _other = std::os::unix::net::UnixDatagram::bind(&datagrams).unwrap();
    assert!(matches!(open(&datagrams), Err(OpenError::Taken)));
    assert!(datagrams.exists());
}

#[tokio::test]
async fn a_file_that_was_put_in_its_place_is_not_removed_with_it() {
    let (_directory, path) = place();
    let socket = open(&path).unwrap();
    fs::rename(&path, path.with_extension("old")).unwrap();
    fs::write(&path, "another's").unwrap();
    drop(socket);
    assert_eq!(fs::read_to_string(&path).unwrap(), "another's");
}

#[tokio::test]
async fn a_path_that_cannot_be_is_an_error() {
    let (directory, _) = place();
    let path = directory.path().join("nowhere").join("ferrymq.sock");
    assert!(matches!(open(&path), Err(OpenError::Socket(_))));
    let path = directory.path().join("x".repeat(200));
    assert!(matches!(open(&path), Err(OpenError::Socket(_))));
}
