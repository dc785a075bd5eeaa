//! The link of one bridge: dials its addresses in their order, again and again, for as long as
//! the bridge is wanted. What happens on a connection is decided in `broker/client/`.
//!
//! - Which version of MQTT the other end speaks is found out by trying ([`Dialect`]).
//! - While it is connected to another address than the first, the first one is tried now and
//!   then, and has the connection as soon as it answers.
//! - Between two CONNECTs is a second at least.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff::{Attempt, Backoff, LASTING, LEAST};
use super::dialect::Dialect;
use super::failed::{Failed, OtherDialect, kind_of};
use super::files;
use super::status::{Failure, LinkState, LinkStatus};
use super::terms::Subscriptions;
use crate::broker::Broker;
use crate::broker::bridge::BridgeTerms;
use crate::config::{Bridge, BridgeAddress};
use crate::net::dial::{Dial, End, Ended, LoggedIn};
use crate::net::{AnyStream, Established};
use crate::outbound;
use crate::telemetry::Label as _;

/// How often the first address is tried while another one has the connection. Twice as long
/// after each time that it accepted TCP and no CONNECT, up to [`FIRST_SELDOM`].
const FIRST_AGAIN: Duration = Duration::from_mins(1);
/// See [`FIRST_AGAIN`].
const FIRST_SELDOM: Duration = Duration::from_hours(1);

/// How long a version is kept that was only guessed, because the other end closed without a
/// word: it may have been starting.
const GUESS: Duration = Duration::from_hours(1);

/// The longest text that is kept of an error: it may be of the other end.
const LONGEST_ERROR: usize = 1024;

/// How often the same failure is logged while failures follow each other.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// What an operator wants of a link. It ends when the sender is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// It does not connect.
    pub paused: bool,
    /// Grows with each time that it is resumed, so that one that waits connects at once.
    pub resumed: u64,
}

/// See the module.
pub struct Link {
    /// The bridge's name.
    pub name: Arc<str>,
    /// Its configuration.
    pub bridge: Bridge,
    /// The broker that it connects.
    pub broker: Arc<Broker>,
    /// What all its connections share.
    pub terms: Arc<BridgeTerms>,
    /// What it subscribes to.
    pub subscriptions: Subscriptions,
    /// What is known of it.
    pub status: Arc<LinkStatus>,
}

/// What a link knows between its attempts.
struct Course {
    /// The number of the address.
    at: usize,
    dialect: Dialect,
    backoff: Backoff,
    /// What was logged last of its failures, and when.
    told: Option<(Instant, String)>,
    /// When the version that was guessed is given up.
    guess_until: Option<Instant>,
    /// When CONNECT was last sent.
    asked_at: Option<Instant>,
    first_again: Duration,
}

impl Link {
    /// Runs until it is no longer wanted, or the broker shuts down.
    pub async fn run(self, mut wanted: watch::Receiver<Wanted>) {
        self.warn_of_exposed_files().await;
        let mut course = Course {
            at: 0,
            dialect: Dialect::of(&self.bridge),
            backoff: Backoff::new(self.bridge.max_backoff.duration()),
            told: None,
            guess_until: None,
            asked_at: None,
            first_again: FIRST_AGAIN,
        };
        while !self.broker.is_shutting_down() && wanted.has_changed().is_ok() {
            if !self.may_run(&mut wanted).await {
                continue;
            }
            let Some(address) = self.bridge.addresses.get(course.at).cloned() else { return };
            let wait = self.connect(&address, &mut course, &mut wanted).await;
            self.rest(wait, &mut wanted).await;
        }
    }

    async fn warn_of_exposed_files(&self) {
        if self.bridge.password_file.is_none() && self.bridge.tls.is_none() {
            return;
        }
        let (name, bridge) = (Arc::clone(&self.name), self.bridge.clone());
        let found = tokio::task::spawn_blocking(move || files::exposed(&name, &bridge)).await;
        for warning in found.unwrap_or_default() {
            tracing::warn!(bridge = &*self.name, "{warning}");
        }
    }

    /// Waits while it is paused or stopped. False: something has changed meanwhile.
    async fn may_run(&self, wanted: &mut watch::Receiver<Wanted>) -> bool {
        let paused = wanted.borrow_and_update().paused;
        let stopped = self.terms.refusals.lock().stopped();
        let state = match (paused, stopped) {
            (true, _) => LinkState::Paused,
            (false, Some(_)) => LinkState::Stopped,
            (false, None) => return true,
        };
        self.status.enter(state, self.broker.clock.now().wall);
        tokio::select! {
            _ = wanted.changed() => {}
            () = self.broker.until_shut_down() => {}
        }
        false
    }

    /// Makes one connection, and serves it to its end. Returns how long to wait then.
    async fn connect(
        &self,
        address: &BridgeAddress,
        course: &mut Course,
        wanted: &mut watch::Receiver<Wanted>,
    ) -> Duration {
        if course.guess_until.is_some_and(|until| until <= Instant::now()) {
            course.guess_until = None;
            course.dialect = Dialect::of(&self.bridge);
        }
        // It could not be opened before: the disk was full, or session.max_sessions reached.
        if !self.broker.has_bridge_session(&self.name) {
            let forward = self.subscriptions.forward.clone();
            if let Err(reason) = self.broker.open_bridge(&self.terms, forward).await {
                let why = format!("its session cannot be opened: {}", reason.description());
                self.after_failure(&Failed::before(why), address, course);
                return course.backoff.after(Attempt::Failed, random());
            }
        }
        let now = self.broker.clock.now().wall;
        self.status.enter(LinkState::Connecting, now);
        self.status.update(|view| {
            view.attempts = view.attempts.saturating_add(1);
            view.address = Some(address.to_string().into());
        });
        let dial = tokio::select! {
            biased;
            dial = self.dial(course.dialect) => dial,
            () = no_longer_wanted(wanted) => return Duration::ZERO,
        };
        let asked_at = &mut course.asked_at;
        let opened = async {
            let dial = dial?;
            let logged_in = self.open(address, &dial, asked_at).await?;
            Ok((dial, logged_in))
        };
        let opened: Result<_, Failed> = tokio::select! {
            biased;
            opened = opened => opened,
            // Nothing was accepted yet, so the attempt can be dropped.
            () = no_longer_wanted(wanted) => return Duration::ZERO,
        };
        match opened {
            Ok((dial, logged_in)) => {
                course.dialect.settle();
                let at = course.at;
                if at == 0 {
                    course.first_again = FIRST_AGAIN;
                }
                let before = self.progress();
                let (lasted, was_stopped) = self.serve(dial, logged_in, course, wanted).await;
                course.at = 0;
                if lasted >= LASTING {
                    course.told = None;
                }
                if was_stopped {
                    if at > 0 {
                        course.first_again = (course.first_again * 2).min(FIRST_SELDOM);
                    }
                    return Duration::ZERO;
                }
                let ended = if self.progress() > before {
                    Attempt::Progressed(lasted)
                } else {
                    Attempt::Connected(lasted)
                };
                course.backoff.after(ended, random())
            }
            Err(failed) => self.after_failure(&failed, address, course),
        }
    }

    fn after_failure(
        &self,
        failed: &Failed,
        address: &BridgeAddress,
        course: &mut Course,
    ) -> Duration {
        if self.broker.is_shutting_down() {
            return Duration::ZERO;
        }
        self.note_failure(failed.kind, &failed.why);
        let again = match failed.other_dialect {
            OtherDialect::No => false,
            OtherDialect::Perhaps => course.dialect.guess(),
            OtherDialect::Yes => course.dialect.advance(),
        };
        if again && failed.other_dialect == OtherDialect::Perhaps {
            course.guess_until = Some(Instant::now() + GUESS);
        }
        if !again && course.tells(&failed.why) {
            tracing::warn!(
                bridge = &*self.name, %address, error = failed.why,
                "a bridge cannot connect, and tries again; messages for it are queued"
            );
        }
        if again {
            return LEAST;
        }
        course.at = (course.at + 1) % self.bridge.addresses.len().max(1);
        match (course.at, failed.asked) {
            (0, _) => course.backoff.after(Attempt::Failed, random()),
            (_, true) => LEAST,
            (_, false) => Duration::ZERO,
        }
    }

    fn progress(&self) -> u64 {
        self.terms.counts.progress.load(Ordering::Relaxed)
    }

    fn note_failure(&self, kind: Failure, why: &str) {
        self.status.update(|view| {
            *view.failures.entry(kind).or_default() += 1;
            view.last_error = Some(shortened(why).into());
        });
    }

    /// Serves a connection. Returns how long it lasted, and whether it was ended here on
    /// purpose.
    async fn serve(
        &self,
        dial: Dial,
        logged_in: LoggedIn<Established<AnyStream>>,
        course: &mut Course,
        wanted: &mut watch::Receiver<Wanted>,
    ) -> (Duration, bool) {
        let version = dial.connect.version;
        self.status.enter(LinkState::Connected, self.broker.clock.now().wall);
        self.status.update(|view| {
            view.version = Some(version);
            view.attempts = 0;
        });
        self.broker.publish_bridge_state(&self.name, true);
        let address = self.status.view().address;
        tracing::info!(
            bridge = &*self.name,
            address = address.as_deref(),
            version = version.as_str(),
            session_present = logged_in.connack.session_present,
            "a bridge is connected"
        );
        let stop = async {
            tokio::select! {
                () = no_longer_wanted(wanted) => {}
                () = self.until_first_answers(course) => {}
            }
        };
        let ended = logged_in.serve(Arc::clone(&self.broker), &dial, stop).await;
        self.broker.publish_bridge_state(&self.name, false);
        match ended {
            Ok(Ended { end: End::Stopped, lasted }) => (lasted, true),
            _ if self.broker.is_shutting_down() => (Duration::ZERO, true),
            // Told where it was decided, with the message.
            Ok(Ended { end, lasted }) if self.terms.refusals.lock().stopped().is_some() => {
                self.status.update(|view| {
                    view.last_error = Some(shortened(&end.to_string()).into());
                });
                (lasted, false)
            }
            Ok(Ended { end, lasted }) => {
                let why = end.to_string();
                if lasted >= LASTING || course.tells(&why) {
                    tracing::warn!(
                        bridge = &*self.name,
                        address = address.as_deref(),
                        error = why,
                        "a bridge has lost its connection, and connects again"
                    );
                }
                self.note_failure(kind_of(&end), &why);
                (lasted, false)
            }
            Err(error) => {
                self.note_failure(Failure::Ended, &error.to_string());
                (Duration::ZERO, false)
            }
        }
    }

    /// While another address has the connection: ends when the first one accepts TCP.
    async fn until_first_answers(&self, course: &Course) {
        let Some(first) = self.bridge.addresses.first().filter(|_| course.at > 0) else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(course.first_again).await;
            let deadline = Instant::now() + self.broker.connect_settings().connect_timeout;
            if outbound::connect(first.host(), first.port(), deadline).await.is_ok() {
                return;
            }
        }
    }

    async fn rest(&self, wait: Duration, wanted: &mut watch::Receiver<Wanted>) {
        if wait.is_zero() {
            return;
        }
        self.status.enter(LinkState::Waiting, self.broker.clock.now().wall);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = wanted.changed() => {}
            () = self.broker.until_shut_down() => {}
        }
    }
}

/// Ends when the link is paused or no longer wanted at all.
async fn no_longer_wanted(wanted: &mut watch::Receiver<Wanted>) {
    while wanted.changed().await.is_ok() {
        if wanted.borrow_and_update().paused {
            return;
        }
    }
}

impl Course {
    /// True if a failure may be logged now: it is another one than the last, or a while ago.
    fn tells(&mut self, why: &str) -> bool {
        let tells = self
            .told
            .as_ref()
            .is_none_or(|(at, before)| before != shortened(why) || at.elapsed() > TELL_EVERY);
        if tells {
            self.told = Some((Instant::now(), shortened(why).to_owned()));
        }
        tells
    }
}

fn shortened(text: &str) -> &str {
    let end = (0..=LONGEST_ERROR.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

/// Evenly from all numbers; need not be hard to guess.
fn random() -> u64 {
    ahash::RandomState::new().hash_one(Instant::now())
}
