//! Admission against a naive model, and in a flood.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::peer::{PeerAddr, Source};
use crate::telemetry::RejectReason;
use crate::token_bucket::{Rate, TokenBucket};

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> AdmissionLimits {
    AdmissionLimits {
        max_connections: 2,
        connection_rate: Rate::per_second(3),
        max_failures: 3,
        window: 10 * SECOND,
        ban_time: 30 * SECOND,
        exempt: vec!["10.9.0.0/16".parse().unwrap(), "2001:db8:9::/48".parse().unwrap()],
    }
}

fn unlimited() -> AdmissionLimits {
    AdmissionLimits { max_connections: 0, connection_rate: None, max_failures: 0, ..limits() }
}

fn peer(address: &str) -> PeerAddr {
    PeerAddr::Inet(SocketAddr::new(address.parse().unwrap(), 1))
}

/// The `n`th source of a flood.
fn nth(n: u64) -> PeerAddr {
    let address = Ipv6Addr::from((u128::from(n) << 64) | (0x2000 << 112) | u128::from(n % 7));
    PeerAddr::Inet(SocketAddr::new(IpAddr::V6(address), 1))
}

/// Keeps all that happened, and forgets nothing.
#[derive(Default)]
struct Naive {
    open: BTreeMap<Source, usize>,
    buckets: BTreeMap<Source, TokenBucket>,
    failures: BTreeMap<Source, Vec<Duration>>,
    bans: BTreeMap<Source, (Duration, BanReason)>,
    told: BTreeMap<(Source, bool), Duration>,
}

impl Naive {
    fn is_banned(&self, source: Source, now: Duration) -> bool {
        self.bans.get(&source).is_some_and(|(until, _)| *until > now)
    }

    fn admit(
        &mut self,
        limits: &AdmissionLimits,
        source: Source,
        now: Duration,
    ) -> Result<(), (RejectReason, bool)> {
        let open = self.open.entry(source).or_insert(0);
        let reason = if self.bans.get(&source).is_some_and(|(until, _)| *until > now) {
            RejectReason::Banned
        } else if limits.max_connections > 0 && *open >= limits.max_connections {
            RejectReason::AddressLimit
        } else if let Some(rate) = limits.connection_rate
            && !self
                .buckets
                .entry(source)
                .or_insert_with(|| TokenBucket::full(rate, now))
                .take(rate, now)
        {
            RejectReason::AddressRate
        } else {
            *open += usize::from(limits.max_connections > 0);
            return Ok(());
        };
        let told = (source, reason == RejectReason::Banned);
        let tells = self.told.get(&told).is_none_or(|at| *at + 60 * SECOND <= now);
        if tells {
            self.told.insert(told, now);
        }
        Err((reason, tells))
    }

    fn fail(&mut self, limits: &AdmissionLimits, source: Source, now: Duration) -> bool {
        if limits.max_failures == 0 || self.is_banned(source, now) {
            return false;
        }
        let failures = self.failures.entry(source).or_default();
        if failures.first().is_some_and(|first| now >= *first + limits.window) {
            failures.clear();
        }
        failures.push(now);
        let begins = failures.len() >= limits.max_failures as usize;
        if begins {
            failures.clear();
            self.told.remove(&(source, true));
            self.bans.insert(source, (now + limits.ban_time, BanReason::Failures));
        }
        begins
    }

    fn lift(&mut self, source: Source, now: Duration) -> bool {
        let was_banned = self.is_banned(source, now);
        if was_banned {
            self.bans.remove(&source);
            self.failures.remove(&source);
            self.buckets.remove(&source);
            self.told.remove(&(source, false));
        }
        was_banned
    }
}

#[derive(Debug, Clone)]
enum Act {
    Connect(usize),
    Leave(usize),
    Fail(usize),
    Ban(usize, u64),
    Lift(usize),
    Pass(u64),
    Reload(bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..4_usize).prop_map(Act::Connect),
        2 => (0..4_usize).prop_map(Act::Leave),
        3 => (0..4_usize).prop_map(Act::Fail),
        1 => (0..4_usize, 1..100_u64).prop_map(|(who, seconds)| Act::Ban(who, seconds)),
        1 => (0..4_usize).prop_map(Act::Lift),
        3 => prop_oneof![1..700_u64, 1..40_000_u64, Just(200_000)].prop_map(Act::Pass),
        1 => any::<bool>().prop_map(Act::Reload),
    ]
}

proptest! {
    #[test]
    fn admission_decides_as_a_model_that_forgets_nothing(
        acts in prop::collection::vec(act(), 1..120),
    ) {
        let peers = ["192.0.2.1", "::ffff:192.0.2.2", "2001:db8::1", "2001:db8::ffff"].map(peer);
        let sources = peers.map(PeerAddr::source);
        prop_assert_eq!(sources[2], sources[3], "one /64");
        let (mut limits, mut now) = (limits(), Duration::ZERO);
        let (mut real, mut naive) = (Admission::new(limits.clone()), Naive::default());
        for act in acts {
            match act {
                Act::Connect(who) => {
                    let admitted = real.admit(peers[who], now);
                    let expected = naive.admit(&limits, sources[who], now);
                    prop_assert_eq!(admitted.map(drop).map_err(|it| (it.reason, it.tell)), expected);
                    let is_counted = limits.max_connections > 0;
                    prop_assert!(admitted.is_err() || admitted.unwrap().is_some() == is_counted);
                }
                Act::Leave(who) => {
                    if let Some(open) = naive.open.get_mut(&sources[who]).filter(|it| **it > 0) {
                        *open -= 1;
                        real.leave(sources[who]);
                    }
                }
                Act::Fail(who) => {
                    let begins = real.log_in_failed(peers[who], now);
                    prop_assert_eq!(begins.is_some(), naive.fail(&limits, sources[who], now));
                    let expected = (now + limits.ban_time, limits.max_failures);
                    prop_assert!(begins.is_none_or(|ban| (ban.until, ban.failures) == expected));
                }
                Act::Ban(who, seconds) => {
                    let ban = real.ban(sources[who], Duration::from_secs(seconds), now).unwrap();
                    naive.bans.insert(sources[who], (ban.until, BanReason::Operator));
                    naive.told.remove(&(sources[who], true));
                }
                Act::Lift(who) => {
                    let lifted = real.lift(sources[who], now).is_some();
                    prop_assert_eq!(lifted, naive.lift(sources[who], now));
                }
                Act::Pass(millis) => now += Duration::from_millis(millis),
                Act::Reload(off) => {
                    limits = if off { unlimited() } else { self::limits() };
                    real.set_limits(limits.clone());
                }
            }
            let mut expected: Vec<BanPlace> = naive.bans.iter()
                .filter(|(_, (until, _))| *until > now)
                .map(|(source, (until, reason))| (*reason, *until, *source))
                .collect();
            expected.sort();
            // In pages of one.
            let (mut listed, mut after) = (Vec::new(), None);
            while let Some(ban) = real.bans(after, 1, now).first().copied() {
                after = Some((ban.reason, ban.until, ban.source));
                listed.extend(after);
            }
            prop_assert_eq!(real.banned(now), listed.len());
            prop_assert_eq!(listed, expected);
            prop_assert_eq!(real.len().0, naive.open.values().sum::<usize>());
        }
    }
}

#[test]
fn an_exempt_address_is_never_limited_or_banned() {
    let mut admission = Admission::new(limits());
    let exempt = ["10.9.1.1", "::ffff:10.9.1.1", "2001:db8:9:1::1"].map(peer);
    for peer in exempt.into_iter().chain([PeerAddr::Local]) {
        for _ in 0..100 {
            assert_eq!(admission.admit(peer, SECOND), Ok(None));
            assert_eq!(admission.log_in_failed(peer, SECOND), None);
        }
        assert!(admission.exempts(peer.source()));
        // Not even by an operator, as long as it is exempt.
        let _ = admission.ban(peer.source(), SECOND, SECOND).unwrap();
        assert_eq!(admission.admit(peer, SECOND), Ok(None));
    }
    assert!(!admission.exempts("10.8.1.1".parse().unwrap()));
    assert!(!admission.exempts("2001:db8:8::/64".parse().unwrap()));
}

/// An address of a /64 that is exempt by itself is; the others of that network are not.
#[test]
fn an_exempt_host_does_not_exempt_its_network() {
    let exempt = vec!["2001:db8::7/128".parse().unwrap()];
    let mut admission = Admission::new(AdmissionLimits { exempt, ..limits() });
    let ban = admission.ban("2001:db8::/64".parse().unwrap(), SECOND, SECOND);
    assert!(ban.is_ok() && !admission.exempts("2001:db8::/64".parse().unwrap()));
    assert_eq!(admission.admit(peer("2001:db8::7"), SECOND), Ok(None));
    assert!(admission.admit(peer("2001:db8::8"), SECOND).is_err());
}

#[test]
fn a_flood_from_ever_new_sources_takes_bounded_memory_and_lifts_no_ban() {
    const SMALL: usize = 64;
    let failing = AdmissionLimits { connection_rate: Rate::per_second(1), ..limits() };
    let mut admission = Admission::with_bounds(failing, SMALL, SMALL, SMALL);
    let (attacker, enemy) = (peer("192.0.2.1"), peer("192.0.2.2"));
    for _ in 0..3 {
        admission.log_in_failed(attacker, SECOND);
    }
    admission.ban(enemy.source(), 3600 * SECOND, SECOND).unwrap();
    for n in 0..100_000 {
        // Within the time of the ban, and never a whole ban from one of them.
        let now = SECOND + Duration::from_micros(n * 100);
        if let Ok(Some(source)) = admission.admit(nth(n), now) {
            admission.leave(source);
        }
        admission.log_in_failed(nth(n), now);
        assert!(admission.len().1 <= SMALL + 2);
        assert!(admission.admit(attacker, now).is_err() && admission.admit(enemy, now).is_err());
    }
}

#[test]
fn bans_are_bounded_and_an_operators_give_way_to_none() {
    const SMALL: usize = 8;
    let strict = AdmissionLimits { max_failures: 1, ..limits() };
    let mut admission = Admission::with_bounds(strict, SMALL, SMALL, 2);
    let (one, two) = (peer("192.0.2.1").source(), peer("192.0.2.2").source());
    let _ = admission.ban(one, SECOND, Duration::ZERO).unwrap();
    let _ = admission.ban(two, 3600 * SECOND, Duration::ZERO).unwrap();
    assert!(admission.ban(nth(1).source(), SECOND, Duration::ZERO).is_err());
    // It can still be changed.
    let _ = admission.ban(one, 3600 * SECOND, Duration::ZERO).unwrap();
    for n in 0..1000 {
        assert!(admission.log_in_failed(nth(n), Duration::from_millis(n)).is_some());
    }
    let bans = admission.bans(None, usize::MAX, SECOND);
    assert_eq!(bans.len(), SMALL + 2);
    // Those that began last.
    let kept: Vec<_> = bans.iter().map(|ban| ban.source).collect();
    let last: Vec<_> = (1000 - SMALL as u64..1000).map(|n| nth(n).source()).collect();
    assert_eq!(kept, [last, vec![one, two]].concat());
}

/// When it is full, and a moment later old enough, it must not be dropped twice.
#[test]
fn the_half_that_was_heard_of_last_is_remembered_whenever_a_generation_ends() {
    const SMALL: usize = 64;
    let mut recent = recent::RecentSources::new(SMALL);
    for n in 0..10_000_u64 {
        let now = Duration::from_millis(n * 7);
        recent.forget(SECOND, now);
        recent.entry(nth(n).source(), now, || n);
        // Of what was heard of within the lifetime.
        for last in n.saturating_sub(SMALL as u64 / 2 - 1)..=n {
            assert!(recent.contains(nth(last).source()), "{last} of {n}");
        }
        assert!(recent.len() <= SMALL);
    }
}

#[test]
fn the_memory_of_a_flood_is_freed_when_it_is_over() {
    let mut admission = Admission::new(limits());
    for n in 0..1000 {
        admission.log_in_failed(nth(n), SECOND);
    }
    assert_eq!(admission.len().1, 1000);
    assert_eq!(admission.banned(SECOND + 120 * SECOND), 0);
    assert_eq!(admission.len().1, 0);
}

#[test]
fn an_admitted_connection_counts_until_it_is_dropped() {
    let started = std::time::Instant::now();
    let control = AdmissionControl::new(limits(), started);
    let here = peer("192.0.2.1");
    let first = control.admit(here, started).unwrap();
    let _second = control.admit(here, started).unwrap();
    let refused = control.admit(here, started).unwrap_err();
    assert_eq!((refused.reason, refused.tell), (RejectReason::AddressLimit, true));
    drop(first);
    let _third = control.admit(here, started).unwrap();
}
