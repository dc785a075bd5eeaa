//! The command line: arguments in, one exit code out.
//!
//! The subcommands that people and containers call live here. They read the configuration,
//! call one function of the library and print; they know nothing of the inside of a broker.

mod auth;
mod bench;
mod bridge;
mod config;
mod db;
mod drill;
mod exit;
mod health;
pub mod human;
mod interrupt;
mod output;
mod passwd;
pub mod progress;
mod serve;
mod stop;
mod table;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use exit::Exit;
pub use serve::serve;
pub use stop::stop_signal;

use crate::config::{Config, Sources};

const EXIT_CODES: &str = "\
Exit codes:
  0  all went well
  1  failed while running
  2  the configuration or the command line is wrong
  3  the database cannot be opened or is in use, or `db check` found it damaged
  4  a listener cannot be bound
  5  the database failed while running: restart to recover from the file
  6  the drill found lost, repeated or reordered messages, or lost state
  130  interrupted by Ctrl-C or SIGTERM (`bench`, `drill`; `db` exits with 1)

Every key of the configuration can also be set in the environment, as
FERRYMQ_TABLE__KEY=VALUE, or with --set TABLE.KEY=VALUE. Later layers win:
defaults, file, environment, --set.";

#[derive(Debug, Parser)]
#[command(name = "ferrymq", version, about, after_help = EXIT_CODES)]
struct Cli {
    /// The configuration file
    // Not a `PathBuf`, since clap refuses an empty one: compose files and charts leave a
    // variable empty to say "not set".
    #[arg(long, global = true, env = "FERRYMQ_CONFIG", value_name = "FILE")]
    config: Option<OsString>,
    /// Set one configuration key, such as --set persistence.path=/data/ferrymq.db
    #[arg(long, global = true, value_name = "TABLE.KEY=VALUE")]
    set: Vec<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the broker (the default)
    Serve(serve::Args),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Set or delete a user's password in a password file
    Passwd(passwd::Args),
    /// Explain what a client may do
    #[command(subcommand)]
    Auth(auth::Command),
    /// Import bridges from Mosquitto's configuration
    #[command(subcommand)]
    Bridge(bridge::Command),
    /// Inspect, check, back up, restore and purge the database
    Db(db::Args),
    /// Ask the running broker whether it is ready: exit 0 if it is, 1 if not
    Health,
    /// Measure what persistence costs on this machine and volume
    #[command(long_about = bench::ABOUT, after_help = bench::EXIT_CODES)]
    Bench(bench::Args),
    /// Kill a broker repeatedly and check that no acknowledged message is lost
    #[command(long_about = drill::ABOUT, after_help = drill::EXIT_CODES)]
    Drill(drill::Args),
}

impl Command {
    /// True if the configuration must be one that can serve clients. `bench` and `drill` give
    /// their own brokers listeners on loopback.
    fn serves(&self) -> bool {
        matches!(self, Self::Serve(_) | Self::Config(_))
    }
}

/// Parses the command line, runs the command and returns the exit code.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    if let Some(Command::Passwd(args)) = &cli.command {
        return passwd::run(args).into();
    }
    if let Some(Command::Bridge(command)) = &cli.command {
        return output::ending(bridge::run(command)).into();
    }
    let file = cli.config.filter(|path| !path.is_empty()).map(PathBuf::from);
    let sources = Sources::from_process(file, cli.set);
    let load = match &cli.command {
        Some(command) if !command.serves() => Config::load_without_serving,
        _ => Config::load,
    };
    let config = match load(&sources) {
        Ok(config) => config,
        Err(error) => {
            output::complain(&error);
            return Exit::Usage.into();
        }
    };
    let exit = match cli.command {
        Some(Command::Config(command)) => config::run(&command, &config, &sources),
        Some(Command::Auth(command)) => auth::run(&command, &config),
        Some(Command::Db(args)) => db::run(&args, &config),
        Some(Command::Health) => health::run(&config),
        Some(Command::Bench(args)) => bench::run(&args, &config),
        Some(Command::Drill(args)) => drill::run(&args, &config),
        Some(Command::Serve(args)) => {
            args.apply();
            return serve(config, sources);
        }
        _ => return serve(config, sources),
    };
    output::ending(exit).into()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serving_is_the_default_and_flags_stand_anywhere() {
        let cli = Cli::parse_from(["ferrymq", "--set", "a.b=1", "--set", "c.d=2"]);
        assert!(cli.command.is_none());
        assert_eq!(cli.set, ["a.b=1", "c.d=2"]);
        let cli =
            Cli::parse_from(["ferrymq", "config", "show", "--config", "x.toml", "--set", "a.b=1"]);
        assert_eq!(cli.config.unwrap(), "x.toml");
        assert_eq!(cli.set, ["a.b=1"]);
    }

    #[test]
    fn the_help_tells_what_exit_codes_mean() {
        let help = Cli::command().render_long_help().to_string();
        for code in [
            "0  all",
            "2  the configuration",
            "3  the database cannot be opened or is in use",
            "5  the database failed",
            "130  interrupted by Ctrl-C",
        ] {
            assert!(help.contains(code), "{help}");
        }
    }
}
