//! The layers of the configuration and their precedence.

use std::path::{Path, PathBuf};

use figment::providers::Serialized;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::{Config, ConfigError, Origin};

const PREFIX: &str = "FERRYMQ_";
/// Read by the command line as `--config`.
const FILE_VARIABLE: &str = "FERRYMQ_CONFIG";
/// Read by the store in builds with the feature `failpoints`.
const FAILPOINT_VARIABLE: &str = "FERRYMQ_FAILPOINT";
/// Read in the same builds by `sabotage`.
const SABOTAGE_VARIABLE: &str = "FERRYMQ_SABOTAGE";
/// Prefixes in figment's metadata, read back by [`origin`](super::explain::origin).
pub(super) const FILE: &str = "file ";
pub(super) const VARIABLE: &str = "variable ";
pub(super) const FLAG: &str = "flag";

/// Where the configuration is read from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The TOML file, if one was named.
    pub file: Option<PathBuf>,
    /// Environment variables; those that do not begin with `FERRYMQ_` are ignored.
    pub env: Vec<(String, String)>,
    /// `TABLE.KEY=VALUE`, one for each `--set`.
    pub set: Vec<String>,
}

impl Sources {
    /// The given file and flags, with the environment variables of this process.
    pub fn from_process(file: Option<PathBuf>, set: Vec<String>) -> Self {
        let env = std::env::vars_os()
            .filter_map(|(name, value)| {
                let name = name.into_string().ok()?;
                Some((name, value.to_string_lossy().into_owned()))
            })
            .collect();
        Self { file, env, set }
    }

    /// `FERRYMQ_` variables that set nothing: a mistake, or another program's. Kubernetes'
    /// service variables are not among them.
    pub fn unused_variables(&self) -> impl Iterator<Item = &str> {
        let unused = self.env.iter().filter(|(name, value)| {
            name.strip_prefix(PREFIX).is_some_and(|rest| {
                key_of(rest).is_none() && !is_ours(name) && !is_service_link(rest, value)
            })
        });
        unused.map(|(name, _)| name.as_str())
    }

    /// Checks that the sources can be read again for a reload. A file that is a pipe has
    /// already been read to its end.
    ///
    /// # Errors
    /// The path is not a regular file, or does not exist.
    pub fn can_be_read_again(&self) -> Result<(), ConfigError> {
        self.file.as_deref().map_or(Ok(()), |path| {
            super::must_be_regular(path)
                .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
        })
    }

    /// All layers merged, each value tagged with the layer that set it.
    pub(super) fn merge(&self) -> Result<Figment, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Config::default()));
        if let Some(path) = &self.file {
            figment = figment.merge(Layer::file(path)?);
        }
        for (name, value) in &self.env {
            if let Some(layer) = Layer::variable(name, value)? {
                figment = figment.merge(layer);
            }
        }
        for given in &self.set {
            figment = figment.merge(Layer::flag(given)?);
        }
        Ok(figment)
    }
}

/// Values of one origin. Each variable is a layer of its own, so that figment knows which
/// variable a value came from.
struct Layer {
    origin: String,
    values: Dict,
}

impl Layer {
    fn file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let values = toml::from_str::<Dict>(&text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            line: line_of(&text, error.span().map_or(0, |span| span.start)),
            message: error.message().replace('\n', ", "),
        })?;
        Ok(Self { origin: format!("{FILE}{}", path.display()), values })
    }

    fn variable(name: &str, value: &str) -> Result<Option<Self>, ConfigError> {
        let Some(rest) = name.strip_prefix(PREFIX).filter(|_| !is_ours(name)) else {
            return Ok(None);
        };
        let Some(path) = key_of(rest) else {
            return if is_service_link(rest, value) || !resembles_a_key(&rest.to_lowercase()) {
                Ok(None)
            } else {
                Err(ConfigError::Variable { name: name.to_owned() })
            };
        };
        let parsed = parse(&path, value).map_err(|problem| ConfigError::Key {
            key: path.join("."),
            origin: Origin::Variable(name.to_owned()),
            problem,
        })?;
        Ok(Some(Self { origin: format!("{VARIABLE}{name}"), values: nest(&path, parsed) }))
    }

    fn flag(given: &str) -> Result<Self, ConfigError> {
        let malformed = || ConfigError::Flag { given: given.to_owned() };
        let (key, value) = given.split_once('=').ok_or_else(malformed)?;
        let path: Vec<String> = key.trim().split('.').map(str::to_owned).collect();
        if path.len() < 2 || path.iter().any(String::is_empty) {
            return Err(malformed());
        }
        let parsed = parse(&path, value.trim()).map_err(|problem| ConfigError::Key {
            key: path.join("."),
            origin: Origin::Flag,
            problem,
        })?;
        Ok(Self { origin: FLAG.to_owned(), values: nest(&path, parsed) })
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

/// True for the broker's own variables that are not keys.
fn is_ours(name: &str) -> bool {
    let of_tests = [FAILPOINT_VARIABLE, SABOTAGE_VARIABLE];
    name == FILE_VARIABLE || (cfg!(feature = "failpoints") && of_tests.contains(&name))
}

/// The key that a variable sets: `TABLE__KEY`.
fn key_of(rest: &str) -> Option<Vec<String>> {
    let path: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
    (path.len() > 1 && path.iter().all(|part| !part.is_empty())).then_some(path)
}

/// Parses a value. Numbers and booleans are recognised; all else is text. Keys that take a list
/// split it at its commas, and lists and tables may also be written as in TOML. Quotes around
/// the value are removed, since `docker --env-file` and systemd's `Environment=` keep them; a
/// quoted value is text if the key takes text.
///
/// # Errors
/// Why a list or table is not TOML.
fn parse(path: &[String], value: &str) -> Result<Value, String> {
    let default = default_of(path);
    let inner = unquoted(value);
    let text = inner.unwrap_or(value);
    match default {
        Some(Value::Array(..) | Value::Dict(..)) if text.starts_with(['[', '{']) => as_toml(text),
        None | Some(Value::String(..) | Value::Array(..)) if inner.is_some() => {
            Ok(Value::from(text))
        }
        _ => Ok(scalar(text)),
    }
}

/// A list or an inline table, such as `[{ filter = "a/#" }]`.
fn as_toml(value: &str) -> Result<Value, String> {
    let parsed = toml::from_str::<Dict>(&format!("value = {value}"));
    let problem = match parsed {
        Ok(mut table) if table.len() == 1 => match table.remove("value") {
            Some(value) => return Ok(value),
            None => "more than one value".to_owned(),
        },
        Ok(_) => "more than one value".to_owned(),
        Err(error) => error.message().replace('\n', ", "),
    };
    Err(format!("it begins like a list or a table of TOML, and is none: {problem}"))
}

/// The text between a pair of quotes, single or double.
fn unquoted(value: &str) -> Option<&str> {
    let between = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    between('"').or_else(|| between('\''))
}

/// True for a table whose tables the user names.
pub(super) fn has_free_names(table: &str) -> bool {
    example(table).is_some()
}

/// The name in such a table whose keys stand for those of any name, in
/// [`Config::with_all_tables`].
fn example(table: &str) -> Option<&'static str> {
    match table {
        "listeners" => Some("tcp"),
        "bridges" => Some("up"),
        _ => None,
    }
}

/// Lists that are not serialized while they are empty.
const LISTS: [[&str; 2]; 1] = [["acl", "rules"]];

fn default_of(path: &[String]) -> Option<Value> {
    if LISTS.iter().any(|list| path == list) {
        return Some(Value::from(Vec::<Value>::new()));
    }
    let key = match path {
        [table, _, keys @ ..] if has_free_names(table) => {
            format!("{table}.{}.{}", example(table).unwrap_or_default(), keys.join("."))
        }
        _ => path.join("."),
    };
    Value::serialize(Config::with_all_tables()).ok()?.find(&key)
}

fn scalar(value: &str) -> Value {
    if let Ok(flag) = value.parse::<bool>() {
        return Value::from(flag);
    }
    // Text that would change as a number stays text, such as a token with a leading zero.
    if let Ok(number) = value.parse::<i64>()
        && number.to_string() == value
    {
        return Value::from(number);
    }
    Value::from(value)
}

fn nest(path: &[String], value: Value) -> Dict {
    match path {
        [] => Dict::new(),
        [last] => Dict::from([(last.clone(), value)]),
        [first, rest @ ..] => Dict::from([(first.clone(), Value::from(nest(rest, value)))]),
    }
}

/// True for a variable that was probably meant as a key and would be ignored silently, such as
/// `FERRYMQ_PERSISTENCE_PATH` or `FERRYMQ_BIND`. Other names may belong to other programs,
/// such as a script's `FERRYMQ_VERSION`.
fn resembles_a_key(rest: &str) -> bool {
    let Ok(Value::Dict(_, tables)) = Value::serialize(Config::default()) else { return true };
    tables.iter().any(|(table, keys)| {
        let begins = rest.strip_prefix(table.as_str());
        let is_key = matches!(keys, Value::Dict(_, keys) if keys.contains_key(rest));
        is_key || begins.is_some_and(|more| more.is_empty() || more.starts_with('_'))
    })
}

/// True for a variable that Kubernetes sets for a service in the namespace. A service named
/// `ferrymq` or `ferrymq-...` gives it our prefix: `FERRYMQ_SERVICE_HOST`,
/// `FERRYMQ_PORT_1883_TCP_ADDR`, `FERRYMQ_PORT=tcp://10.0.0.1:1883`.
fn is_service_link(rest: &str, value: &str) -> bool {
    let words: Vec<&str> = rest.split('_').collect();
    let url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let of_port = |pair: &[&str]| matches!(pair, ["PORT", number, "TCP" | "UDP" | "SCTP"] if number.parse::<u16>().is_ok());
    words.windows(2).any(|pair| matches!(pair, ["SERVICE", "HOST" | "PORT"]))
        || words.windows(3).any(of_port)
        || (words.last() == Some(&"PORT") && url)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
