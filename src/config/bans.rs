//! `[bans]`.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Span;
use super::list::List;

/// `[bans]`: addresses (of IPv6, networks of 64 bits) from which no connections are accepted
/// for a while. Open connections are not touched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bans {
    /// Failed log-ins within `window` that ban an address, 0 to 1,000,000; 0: none is banned.
    pub max_failures: u32,
    /// 1s to 1d.
    pub window: Span,
    /// How long a ban lasts, 1s to 365d.
    pub time: Span,
    /// Networks that are never banned and not limited per address, such as sites behind one
    /// address.
    pub exempt: List<IpNet>,
}

impl Default for Bans {
    fn default() -> Self {
        Self {
            max_failures: 0,
            window: Span::seconds(60),
            time: Span::seconds(300),
            exempt: List::default(),
        }
    }
}
