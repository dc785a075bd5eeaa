//! Reloads when a file changes: the configuration file, or one that it names.

use std::path::PathBuf;
use std::sync::Arc;

use crate::broker::Broker;
use crate::file_watch::FileWatch;
use crate::http::api::Reload;

/// Reloads after each change, until the broker stops. `watch` has watched the files `watched`
/// since before they were read; `files` says which files are read now, and may block.
pub(super) async fn at_changes(
    mut watch: FileWatch,
    mut watched: Vec<PathBuf>,
    reload: Reload,
    files: impl Fn() -> Vec<PathBuf> + Send + Sync + 'static,
    broker: Arc<Broker>,
) {
    let files = Arc::new(files);
    loop {
        tokio::select! {
            () = watch.changed() => {}
            () = broker.until_shut_down() => return,
        }
        tracing::info!("a file that the configuration names has changed");
        loop {
            let (reload, files) = (reload.clone(), Arc::clone(&files));
            let reloaded = tokio::task::spawn_blocking(move || {
                // The result is logged.
                let _ = (reload.0)();
                files()
            });
            match reloaded.await {
                // They were read before they were watched, so they are read once more.
                Ok(now) if now != watched => {
                    watch.replace(now.clone());
                    watched = now;
                }
                _ => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;
    use crate::auth::Authenticator;
    use crate::broker::{Persistence, Settings};
    use crate::config::Config;
    use crate::http::api::Reloaded;
    use crate::store::Recovered;
    use crate::telemetry::Metrics;

    /// Watches a file that has changed since the watch was made. Each reload is received; from
    /// the first one on, `later` are the files.
    fn changed(path: &Path, later: Vec<PathBuf>) -> UnboundedReceiver<()> {
        let config = Config::default();
        let broker = Broker::new(
            Settings::from(&config),
            Authenticator::load(&config).unwrap(),
            Arc::new(Metrics::default()),
            Persistence::new(None, false),
            Recovered::default(),
        );
        let watched = vec![path.to_owned()];
        fs::write(path, "one").unwrap();
        let watch = FileWatch::new(watched.clone());
        fs::write(path, "two").unwrap();
        let (reloads, received) = unbounded_channel();
        let count = Arc::new(AtomicUsize::new(0));
        let (counted, first) = (Arc::clone(&count), watched.clone());
        let reload = Reload(Arc::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = reloads.send(());
            Ok(Reloaded::default())
        }));
        let files = move || {
            if count.load(Ordering::SeqCst) == 0 { first.clone() } else { later.clone() }
        };
        tokio::spawn(at_changes(watch, watched, reload, files, broker));
        received
    }

    #[tokio::test]
    async fn a_change_during_a_long_start_is_reloaded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        changed(&path, vec![path.clone()]).recv().await.unwrap();
    }

    #[tokio::test]
    async fn files_that_a_reload_names_are_read_again_once_they_are_watched() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let mut reloads = changed(&at("a"), vec![at("a"), at("b")]);
        for _ in 0..2 {
            reloads.recv().await.unwrap();
        }
    }
}
