use std::fs;
use std::future::Future;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::task::{Context, Waker};

use tempfile::{TempDir, tempdir};

use super::*;

/// A poll that never comes within a test, so that what is noticed is inotify's.
const NEVER: Duration = Duration::from_hours(24);

fn watch(paths: &[&Path]) -> FileWatch {
    FileWatch::polling_every(NEVER, paths.iter().map(|path| path.to_path_buf()))
}

fn file() -> (TempDir, PathBuf) {
    let directory = tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "one").unwrap();
    (directory, path)
}

#[tokio::test]
async fn a_write_a_rename_and_a_removal_are_noticed() {
    let (directory, path) = file();
    let mut watch = watch(&[&path]);
    fs::write(&path, "two").unwrap();
    watch.changed().await;
    let other = directory.path().join("other");
    fs::write(&other, "six").unwrap();
    fs::rename(&other, &path).unwrap();
    watch.changed().await;
    fs::remove_file(&path).unwrap();
    watch.changed().await;
    fs::write(&path, "two").unwrap();
    watch.changed().await;
}

#[tokio::test]
async fn a_change_of_permissions_is_noticed() {
    let (_directory, path) = file();
    let mut watch = watch(&[&path]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    watch.changed().await;
}

#[tokio::test]
async fn a_swap_of_kubernetes_is_noticed_each_time() {
    let directory = tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let version = |name: &str, text: &str| {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("tls.crt"), text).unwrap();
    };
    version("..1", "one");
    symlink("..1", at("..data")).unwrap();
    symlink("..data/tls.crt", at("tls.crt")).unwrap();
    let mut watch = watch(&[&at("tls.crt")]);
    for (old, new) in [("..1", "..2"), ("..2", "..3")] {
        version(new, "two");
        symlink(new, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        fs::remove_dir_all(at(old)).unwrap();
        watch.changed().await;
    }
    // In the directory that the link leads to by now.
    fs::write(at("..3").join("tls.crt"), "six").unwrap();
    watch.changed().await;
}

#[tokio::test]
async fn another_file_in_the_directory_is_no_change() {
    let (directory, path) = file();
    let mut watch = watch(&[&path]);
    for _ in 0..3 {
        fs::write(directory.path().join("other"), "x").unwrap();
        watch.event_or_poll().await;
        assert!(!watch.drain());
        assert!(!watch.look().await);
    }
}

#[tokio::test]
async fn reading_the_file_is_no_change() {
    let (_directory, path) = file();
    let mut watch = watch(&[&path]);
    fs::write(&path, "two").unwrap();
    watch.changed().await;
    fs::read(&path).unwrap();
    assert!(!watch.drain());
    assert!(!watch.look().await);
}

#[tokio::test]
async fn polling_notices_what_inotify_does_not() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("missing").join("file");
    let mut watch = FileWatch::polling_every(Duration::from_millis(10), [path.clone()]);
    watch.directories = None;
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(&path, "one").unwrap();
    watch.changed().await;
    // The directory exists by now.
    assert!(!watch.directories.as_ref().unwrap().is_stale());
}

#[tokio::test]
async fn a_directory_that_is_replaced_is_watched_again() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("inner").join("file");
    fs::create_dir(path.parent().unwrap()).unwrap();
    let mut watch = FileWatch::polling_every(Duration::from_millis(10), [path.clone()]);
    fs::remove_dir(path.parent().unwrap()).unwrap();
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(&path, "one").unwrap();
    watch.changed().await;
    fs::write(&path, "two").unwrap();
    watch.changed().await;
}

#[tokio::test]
async fn nothing_is_lost_if_the_future_is_dropped_at_any_point() {
    let (_directory, path) = file();
    let mut watch = watch(&[&path]);
    fs::write(&path, "two").unwrap();
    // Sees the event, begins to wait for silence, and is dropped.
    while !watch.woken {
        let waker = Waker::noop();
        assert!(
            Box::pin(watch.changed()).as_mut().poll(&mut Context::from_waker(waker)).is_pending()
        );
        tokio::task::yield_now().await;
    }
    watch.changed().await;
}

#[tokio::test]
async fn other_files_can_be_watched_instead() {
    let (directory, path) = file();
    let other = directory.path().join("other");
    let mut watch = watch(&[&path]);
    watch.replace([other.clone()]);
    fs::write(&path, "two").unwrap();
    watch.event_or_poll().await;
    assert!(!watch.drain());
    fs::write(&other, "one").unwrap();
    watch.changed().await;
}
