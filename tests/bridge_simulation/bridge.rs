//! One bridge as its task in `src/bridge/link.rs` drives it, without addresses, waits and
//! attempts with other versions: the scheduler decides when it dials.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use ferrymq::bridge::terms::{Subscriptions, connect_of, terms_of};
use ferrymq::broker::bridge::{BridgeTerms, LISTENER, principal_of};
use ferrymq::broker::client::Dialled;
use ferrymq::config::{Bridge as Configuration, OnRefused};
use ferrymq::net::{Dial, dial_stream};
use ferrymq::protocol::{Version, hops};

use crate::common::rng::Rng;
use crate::link::Link;
use crate::node::{Node, at_once};
use crate::shape::{LARGE, Shape};
use crate::stream::pair;

pub const NAME: &str = "up";

pub struct Bridge {
    /// The number of the broker that dials.
    pub at: usize,
    configuration: Configuration,
    terms: Arc<BridgeTerms>,
    subscriptions: Subscriptions,
    /// The link of its connection.
    pub link: Option<Link>,
    /// Those of earlier connections, of which the other end may not know that they have ended.
    pub old: Vec<Link>,
    /// `None` without a connection; the text is how it has ended.
    over: Option<Rc<RefCell<Option<String>>>>,
}

impl Bridge {
    /// A bridge of a broker that has just started: its session queues from now on.
    /// `old`: the links of the broker's last life.
    pub fn start(node: &Node, configuration: Configuration, old: Vec<Link>) -> Self {
        let base = &node.broker.settings.session;
        let (terms, subscriptions) = terms_of(NAME, &configuration, base).unwrap();
        let opened = at_once(node.broker.open_bridge(&terms, subscriptions.forward.clone()));
        opened.expect("there is room for the session of the bridge");
        let terms = Arc::new(terms);
        let (at, link, over) = (node.at, None, None);
        Self { at, configuration, terms, subscriptions, link, old, over }
    }

    /// Dials unless a connection is open, as seen from here, or the bridge has stopped before a
    /// message. True if it does.
    pub fn dial(&mut self, nodes: (&mut Node, &mut Node), shape: &Shape, rng: &mut Rng) -> bool {
        let (own, other) = nodes;
        if self.over.is_some() || self.is_stopped() {
            return false;
        }
        let dialect = (shape.version, shape.is_bridge);
        let most = own.broker.settings.max_packet_size.min(LARGE);
        let mut connect = connect_of(NAME, &self.configuration, dialect, None, most);
        if shape.version == Version::V5 {
            let id = own.broker.identity.to_string();
            connect.user_properties.push((hops::BROKER.to_owned(), id));
        }
        let (near, ours) = pair(shape.link, rng.fork());
        let (far, theirs) = pair(shape.link, rng.fork());
        let dial = Dial {
            connect,
            session: principal_of(NAME),
            listener: LISTENER.into(),
            dialled: Dialled {
                forward: self.subscriptions.forward.clone(),
                subscribe: self.subscriptions.subscribe.clone(),
                terms: Arc::clone(&self.terms),
                notice: None,
            },
        };
        let over = Rc::new(RefCell::new(None));
        let told = Rc::clone(&over);
        let broker = Arc::clone(&own.broker);
        own.spawn(Box::pin(async move {
            let end = dial_stream(broker, ours, &dial).await;
            let end = end.map_or_else(|error| error.to_string(), |ended| ended.end.to_string());
            *told.borrow_mut() = Some(end);
        }));
        other.serve(theirs);
        self.link = Some(Link::new(near, far));
        self.over = Some(over);
        true
    }

    /// Notices that its connection has ended, and tells how.
    pub fn notices_end(&mut self) -> Option<String> {
        let end = self.over.as_ref()?.borrow_mut().take()?;
        self.over = None;
        if let Some(mut link) = self.link.take() {
            link.near_has_ended();
            self.old.push(link);
        }
        Some(end)
    }

    /// Its links, that of its connection first.
    pub fn links(&mut self) -> impl Iterator<Item = &mut Link> {
        self.link.iter_mut().chain(&mut self.old)
    }

    /// True while it has a connection, as far as it knows.
    pub fn is_open(&self) -> bool {
        self.over.is_some()
    }

    /// The broker that dials is killed. What is left of its links.
    pub fn kill(mut self, rng: &mut Rng) -> Vec<Link> {
        for link in self.links() {
            link.loses(true, rng);
        }
        self.link.into_iter().chain(self.old).collect()
    }

    /// A message is refused, before which the bridge stops.
    pub fn is_stopped(&self) -> bool {
        self.terms.refusals.lock().stopped().is_some()
    }

    pub fn stops_at_refusals(&self) -> bool {
        self.configuration.on_refused == OnRefused::Stop
    }

    /// An operator resumes it.
    pub fn resume(&self) {
        self.terms.refusals.lock().resume();
    }

    /// The state as text, for debugging.
    pub fn describe(&self) -> String {
        let link = self.link.as_ref().map_or("no link".into(), Link::describe);
        let (at, open, old) = (self.at, self.over.is_some(), self.old.len());
        let refusals = format!("{:?}", self.terms.refusals.lock());
        format!("bridge of broker {at}: open {open}, {link}, {old} old links, {refusals}")
    }
}
