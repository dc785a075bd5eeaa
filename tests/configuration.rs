//! `config/ferrymq.toml` shows every key with its default, those of tables that are optional as
//! comments without a space, and `docs/configuration.md` is
//! generated from it: `BLESS=1 cargo test --test configuration` writes it. The examples in the
//! documents are configurations, too.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // As inside the crate's tests.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use ferrymq::config::{Config, Sources};

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn shipped() -> String {
    std::fs::read_to_string(in_repository("config/ferrymq.toml")).unwrap()
}

/// Each key that holds a value, with its path.
fn flatten(table: &toml::Table) -> BTreeMap<String, String> {
    fn walk(prefix: &str, table: &toml::Table, out: &mut BTreeMap<String, String>) {
        for (key, value) in table {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match value {
                toml::Value::Table(inner) => walk(&path, inner, out),
                value => {
                    out.insert(path, value.to_string());
                }
            }
        }
    }
    let mut out = BTreeMap::new();
    walk("", table, &mut out);
    out
}

#[test]
fn the_shipped_file_shows_every_key_with_its_default_and_no_other() {
    let shown = flatten(&toml::from_str(&shipped()).unwrap());
    let defaults = flatten(&toml::from_str(&Config::default().to_toml().unwrap()).unwrap());
    assert_eq!(shown, defaults);
}

/// The file with its optional tables, without the examples of rules.
fn with_optional_tables() -> String {
    let file = shipped();
    let (mut out, mut is_example) = (String::new(), false);
    for line in file.lines() {
        is_example = line.starts_with("#[[") || (is_example && !line.is_empty());
        if !is_example {
            writeln!(out, "{}", uncommented(line)).unwrap();
        }
    }
    out
}

/// A table or key that is shown as a comment has no space behind the sign.
fn uncommented(line: &str) -> &str {
    line.strip_prefix('#').filter(|rest| rest.starts_with(|c| c != ' ')).unwrap_or(line)
}

#[test]
fn the_shipped_file_shows_every_key_of_the_optional_tables_with_its_default() {
    let shown = flatten(&toml::from_str(&with_optional_tables()).unwrap());
    let all = Config::with_all_tables().to_toml().unwrap();
    assert_eq!(shown, flatten(&toml::from_str(&all).unwrap()));
}

#[test]
fn the_rules_that_are_shown_are_rules() {
    let file = shipped();
    let all: Vec<_> = file.lines().map(uncommented).collect();
    let config: Config = toml::from_str(&all.join("\n")).unwrap();
    assert_eq!(config.acl.rules.len(), 1);
}

#[test]
fn the_shipped_file_is_a_valid_configuration() {
    let file = Some(in_repository("config/ferrymq.toml"));
    let config = Config::load(&Sources { file, ..Sources::default() }).unwrap();
    assert_eq!(config, Config::default());
}

/// The blocks of TOML in the documents, each with its place. All are of FerryMQ: a block of
/// another program's file is to be marked otherwise.
fn examples() -> Vec<(String, String)> {
    let documents = std::fs::read_dir(in_repository("docs")).unwrap();
    let documents = documents.map(|entry| entry.unwrap().path());
    let documents = documents.filter(|path| path.extension().is_some_and(|end| end == "md"));
    let mut found = Vec::new();
    for path in documents.chain(["README.md", "helm/ferrymq/README.md"].map(in_repository)) {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines = (1..).zip(text.lines());
        while let Some((number, line)) = lines.next() {
            if line.trim() == "```toml" {
                let block = lines.by_ref().map(|(_, line)| line);
                let block: Vec<_> = block.take_while(|line| line.trim() != "```").collect();
                found.push((format!("{}:{number}", path.display()), block.join("\n")));
            }
        }
    }
    found
}

#[test]
fn the_examples_in_the_documents_are_valid_configurations() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ferrymq.toml");
    let examples = examples();
    assert!(examples.len() >= 8, "{examples:?}");
    for (place, text) in examples {
        std::fs::write(&file, text).unwrap();
        let sources = Sources { file: Some(file.clone()), ..Sources::default() };
        if let Err(error) = Config::load(&sources) {
            panic!("{place}: {error}");
        }
    }
}

#[test]
fn every_key_and_table_is_explained() {
    for entry in entries(&shipped()) {
        assert!(!entry.text.is_empty(), "{} has no comment above it", entry.name);
        assert!(entry.text.ends_with('.'), "{}: {}", entry.name, entry.text);
    }
}

#[test]
fn the_documentation_is_made_from_the_shipped_file() {
    let path = in_repository("docs/configuration.md");
    let made = documentation(&shipped());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "docs/configuration.md is stale: BLESS=1 cargo test --test configuration"
    );
}

/// A `[table]` (without a default) or a key.
struct Entry {
    name: String,
    default: Option<String>,
    text: String,
}

/// The comment lines right above an entry explain it.
fn entries(file: &str) -> Vec<Entry> {
    let (mut entries, mut text, mut table) = (Vec::new(), String::new(), String::new());
    let mut is_example = false;
    for line in file.lines() {
        is_example = line.starts_with("#[[") || (is_example && !line.is_empty());
        let line = if is_example { "" } else { uncommented(line) };
        if let Some(comment) = line.strip_prefix('#') {
            let gap = if text.is_empty() { "" } else { " " };
            write!(text, "{gap}{}", comment.trim()).unwrap();
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut table);
            entries.push(Entry {
                name: table.clone(),
                default: None,
                text: std::mem::take(&mut text),
            });
        } else if let Some((key, default)) = line.split_once(" = ") {
            let (name, default) = (format!("{table}.{key}"), Some(default.to_owned()));
            entries.push(Entry { name, default, text: std::mem::take(&mut text) });
        } else {
            text.clear();
        }
    }
    entries
}

fn documentation(file: &str) -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         <!-- Made from config/ferrymq.toml by tests/configuration.rs. -->\n\n\
         Layers, the later ones win: built-in defaults, the file named with `--config` or\n\
         `FERRYMQ_CONFIG`, environment variables, `--set table.key=value`. `ferrymq config\n\
         check` says whether the result is valid, `ferrymq config show` prints it.\n\n\
         `FERRYMQ_TABLE__KEY` in the environment sets a key. One that names no key, or that\n\
         looks like a key with one underscore (`FERRYMQ_HTTP_BIND`), stops the start. For any\n\
         other variable that begins with `FERRYMQ_`, start and `config check` warn that it\n\
         sets nothing. What Kubernetes makes for a service is left out: `..._SERVICE_HOST`,\n\
         `..._SERVICE_PORT...`, `..._PORT_1883_TCP...`, and `..._PORT` with a value such as\n\
         `tcp://10.0.0.1:1883`.\n\n\
         A list is written in the environment with commas: `FERRYMQ_AUTH__METHODS=jwt,password`.\n\
         A list of tables is written as in the file:\n\
         `FERRYMQ_BRIDGES__UP__FORWARD='[{ filter = \"site/#\" }]'`.\n\n\
         The keys of `listeners.tcp` are those of any listener. Its tables `tls`, `websocket`\n\
         and `auth` are there only if they are written. The keys of `bridges.up` are those of\n\
         any bridge; there is none by default.\n\n\
         Sizes are written as `64KiB`, `10MB` or a number of bytes; times as `5ms`, `30s`,\n\
         `10m`, `18h`, `7d` or, where it is mentioned, `never`.\n",
    );
    for entry in entries(file) {
        let Some(default) = entry.default else {
            let header = "| Key | Default | Environment variable | |\n| --- | --- | --- | --- |";
            write!(out, "\n## [{}]\n\n{}\n\n{header}\n", entry.name, entry.text).unwrap();
            continue;
        };
        let variable = format!("FERRYMQ_{}", entry.name.replace('.', "__").to_uppercase());
        let key = entry.name.rsplit('.').next().unwrap();
        let text = entry.text.replace('|', "\\|");
        writeln!(out, "| `{key}` | `{default}` | `{variable}` | {text} |").unwrap();
    }
    out
}
