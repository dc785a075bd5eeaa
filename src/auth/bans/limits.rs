//! The configured limits per address.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};

use crate::config::Config;
use crate::peer::{PeerAddr, Source, is_within};
use crate::token_bucket::Rate;

/// Limits per address, replaced as a whole at a reload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AdmissionLimits {
    /// Open connections of one source; 0 is no limit.
    pub max_connections: usize,
    /// New connections of one source; `None` is no limit.
    pub connection_rate: Option<Rate>,
    /// Failed log-ins within `window` that ban a source; 0 bans none.
    pub max_failures: u32,
    /// How long failures count, from the first one on.
    pub window: Duration,
    /// How long a ban lasts.
    pub ban_time: Duration,
    /// Networks that are neither limited nor banned.
    pub exempt: Vec<IpNet>,
}

impl AdmissionLimits {
    /// The source that limits and bans apply to. `None`: the peer is exempt.
    pub(super) fn source(&self, peer: PeerAddr) -> Option<Source> {
        let PeerAddr::Inet(address) = peer else { return None };
        let is_exempt = is_within(address.ip(), &self.exempt);
        (!is_exempt).then(|| address.ip().into())
    }

    /// True if a ban of `source` would have no effect at all, because all of it is exempt.
    pub(super) fn exempts(&self, source: Source) -> bool {
        let network = match source {
            Source::V4(address) => Some(IpNet::from(IpAddr::V4(address))),
            Source::V6([a, b, c, d]) => {
                Ipv6Net::new(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), 64).ok().map(IpNet::V6)
            }
            Source::Local => None,
        };
        network.is_none_or(|network| self.exempt.iter().any(|exempt| exempt.contains(&network)))
    }
}

impl From<&Config> for AdmissionLimits {
    fn from(config: &Config) -> Self {
        let Config { limits, bans, .. } = config;
        Self {
            max_connections: limits.max_connections_per_address,
            connection_rate: Rate::per_second(limits.connection_rate_per_address.into()),
            max_failures: bans.max_failures,
            window: bans.window.duration(),
            ban_time: bans.time.duration(),
            exempt: bans.exempt.to_vec(),
        }
    }
}
