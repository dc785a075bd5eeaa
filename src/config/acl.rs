//! `[acl]`: what clients may do.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// `[acl]`: access rules. Without any, every client may do everything.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Acl {
    /// Rules, in the order in which they are asked: the first that matches decides, and what
    /// none matches is denied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<AclRule>,
    /// An `acl_file` of Mosquitto, in place of rules; empty: none.
    #[serde(with = "super::access::optional_path")]
    pub mosquitto_file: Option<PathBuf>,
    /// User names by group.
    pub groups: BTreeMap<String, Vec<String>>,
}

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AclAction {
    /// To publish.
    Publish,
    /// To subscribe and to receive.
    Subscribe,
    /// Both.
    #[default]
    Both,
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AclEffect {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

/// `[[acl.rules]]`: one rule. It concerns a client that is in each list that is not empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AclRule {
    /// `allow` or `deny`.
    pub effect: AclEffect,
    /// `publish`, `subscribe` or `both`.
    #[serde(default)]
    pub action: AclAction,
    /// Topic filters. `%u` stands for the user name, `%c` for the client id. `#` and `+` at the
    /// first level match topics that begin with `$` in a rule that denies, and not in one that
    /// allows.
    pub topics: Vec<String>,
    /// User names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Names of `acl.groups`, in addition to `users`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Client ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_ids: Vec<String>,
    /// Networks in CIDR notation, or single addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Names of listeners.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<String>,
    /// Subjects of client certificates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
    /// The highest QoS that a rule allows, 0 to 2.
    #[serde(default = "highest_qos")]
    pub max_qos: u8,
    /// Whether a rule allows to publish retained messages.
    #[serde(default = "yes")]
    pub retain: bool,
}

impl AclRule {
    /// Its networks.
    ///
    /// # Errors
    /// The first text that is none.
    pub fn parsed_networks(&self) -> Result<Vec<IpNet>, &str> {
        let parsed = self.networks.iter().map(|text| {
            let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| text.as_str())
        });
        parsed.collect()
    }
}

const fn highest_qos() -> u8 {
    2
}

const fn yes() -> bool {
    true
}
