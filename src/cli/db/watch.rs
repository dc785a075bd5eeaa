//! Shows progress, and turns Ctrl-C and SIGTERM into a request to stop, so that no partial file
//! is left.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::Exit;
use crate::cli::progress::{Progress, Unit};
use crate::cli::stop::stop_signal;
use crate::maintenance::{Phase, Step, Watch};

/// Runs the work of one command with a [`Watch`]. The line on the terminal is removed when the
/// work has ended.
pub(super) fn watched<T>(work: impl FnOnce(&Watch) -> T) -> T {
    let stop = Arc::new(AtomicBool::new(false));
    listen(Arc::clone(&stop));
    let shown: Mutex<Option<(Phase, Progress)>> = Mutex::new(None);
    let watch = Watch::new(move |step| {
        // A panic while drawing leaves no state half changed.
        let mut shown = shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        draw(&mut shown, step);
        !stop.load(Ordering::Relaxed)
    });
    work(&watch)
}

fn draw(shown: &mut Option<(Phase, Progress)>, step: Step) {
    if shown.as_ref().is_none_or(|(phase, _)| *phase != step.phase) {
        let (what, unit) = match step.phase {
            Phase::Copying => ("copying", Unit::Bytes),
            Phase::Structure => ("checking the structure", Unit::Things("steps")),
            Phase::Rows => ("reading", Unit::Things("rows")),
            Phase::Removing => ("deleting", Unit::Things("deliveries")),
            Phase::Shrinking => ("giving room back", Unit::Bytes),
        };
        // The drop removes the old line before the new one is drawn.
        *shown = None;
        *shown = Some((step.phase, Progress::new(what, unit, step.total)));
    }
    if let Some((_, progress)) = shown {
        progress.update(step.done, step.total, "");
    }
}

/// If no thread or handler can be installed, the default stays: a signal ends the process at
/// once.
fn listen(stop: Arc<AtomicBool>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    let first = {
        let _entered = runtime.enter();
        stop_signal()
    };
    let Ok(first) = first else { return };
    let spawned = std::thread::Builder::new().name("ferrymq-signals".into()).spawn(move || {
        runtime.block_on(async {
            first.await;
            stop.store(true, Ordering::Relaxed);
            if let Ok(second) = stop_signal() {
                second.await;
                // A second signal ends the process at once; a partial file is left under its
                // temporary name.
                std::process::exit(Exit::Failure.code().into());
            }
        });
    });
    // The thread is never joined; it ends with the process.
    drop(spawned);
}
