//! The writer's thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Fault, Outcome, Writer};
use crate::store::batch::Batch;
use crate::store::shared::{Next, Shared};

/// Pauses between attempts on a full disk.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The pause between two steps of housekeeping, so that a batch never waits long. It is also
/// the pause after a commit before free pages are returned.
const STEP_PAUSE: Duration = Duration::from_millis(10);

pub(in crate::store) fn spawn(
    writer: Writer,
    shared: Arc<Shared>,
    idle_after: Duration,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("ferrymq-store".into())
        .spawn(move || supervise(writer, &shared, idle_after))
}

/// Runs the loop. However it ends, those who wait are woken.
fn supervise(mut writer: Writer, shared: &Shared, idle_after: Duration) {
    let mut batch = Batch::default();
    let result =
        catch_unwind(AssertUnwindSafe(|| run(&mut writer, &mut batch, shared, idle_after)));
    let end = match result {
        Ok(Ok(End::Closed)) => writer.close(),
        Ok(Ok(End::Stopped)) => {
            writer.notify_all();
            Ok(())
        }
        Ok(Err(fault)) => {
            poison(&fault, &mut writer, &batch, shared);
            Ok(())
        }
        Err(_) => {
            poison(&Fault("the writer panicked".into()), &mut writer, &batch, shared);
            Ok(())
        }
    };
    if let Err(fault) = end {
        shared.poison(&fault.0);
    }
    shared.stopped();
}

fn poison(fault: &Fault, writer: &mut Writer, batch: &Batch, shared: &Shared) {
    // The state is set first, so that those who are woken see it.
    shared.poison(&fault.0);
    batch.notify();
    writer.notify_all();
}

enum End {
    Closed,
    Stopped,
}

/// While the disk is full, how often parked messages are tried and the state is checked.
const FULL_PAUSE: Duration = Duration::from_millis(250);

fn run(
    writer: &mut Writer,
    batch: &mut Batch,
    shared: &Shared,
    idle_after: Duration,
) -> Result<End, Fault> {
    let mut quiet_at = Instant::now() + idle_after;
    let mut idle_at = Some(quiet_at);
    let mut pause = FIRST_PAUSE;
    // The number of operations in batches that found no space and are tried again, if there
    // are any.
    let mut kept: Option<usize> = None;
    loop {
        let next = match kept {
            None => shared.next(batch, idle_at),
            Some(_) => shared.next_after(batch, pause),
        };
        match next {
            Next::Close => return Ok(End::Closed),
            Next::Stop => return Ok(End::Stopped),
            Next::Idle if !writer.is_full() => {
                let quiet = Instant::now() >= quiet_at;
                let more = if quiet { writer.idle()? } else { writer.pause()? };
                // After the last step there is nothing to do until the next commit.
                let next = Some(quiet_at).filter(|_| !quiet);
                idle_at = if more { Some(Instant::now() + STEP_PAUSE) } else { next };
                continue;
            }
            Next::Idle => {
                writer.idle()?;
                // The batch is taken for its commit number, under which parked messages are
                // tried again.
                shared.take(batch, false);
            }
            Next::Checkpoint => {
                writer.checkpoint_on_demand(shared.take_checkpoints())?;
                continue;
            }
            Next::Clock => {
                writer.write_clock()?;
                // The mark is in the WAL, which is emptied after another quiet period.
                quiet_at = Instant::now() + idle_after;
                idle_at = Some(quiet_at);
                continue;
            }
            Next::Commit => {}
        }
        let count = batch.len();
        let outcome = writer.commit_batch(batch)?;
        batch.reset();
        if outcome == Outcome::Kept {
            // Another attempt may add no operations of its own: only real ones are counted.
            kept = Some(kept.unwrap_or(0) + count);
            pause = (pause * 2).min(LONGEST_PAUSE);
        } else {
            shared.finished(kept.take().unwrap_or(0) + count);
            pause = FIRST_PAUSE;
        }
        let rest = if writer.is_full() { idle_after.min(FULL_PAUSE) } else { idle_after };
        let now = Instant::now();
        quiet_at = now + rest;
        let shrinks = writer.has_surplus() && !writer.is_full();
        idle_at = Some(if shrinks { now + STEP_PAUSE } else { quiet_at });
    }
}
