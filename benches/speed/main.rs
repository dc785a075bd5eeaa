//! Compares the speed of brokers: `cargo bench --bench speed -- --help`.
//!
//! - [`load`]: the load generator.
//! - [`rig`]: brokers as processes, and their resource usage.
//! - [`setup`]: what is compared.
//! - [`scenario`]: one run of one setup; [`capacity`]: one of the generator alone.
//! - [`report`]: tables and ratios.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench may stop where it stands"
)]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people, far below where it would matter"
)]

mod args;
mod capacity;
mod load;
mod report;
mod rig;
mod scenario;
mod setup;

use std::io;

use args::Args;
use clap::Parser as _;
use report::Report;
use setup::Setup;

fn main() -> io::Result<()> {
    let args = Args::parse();
    if !args.bench {
        println!("nothing to test here; run it with: cargo bench --bench speed");
        return Ok(());
    }
    rig::raise_file_limit()?;
    if args.capacity {
        return capacity::measure(&args);
    }
    let setups = Setup::all(&args)?;
    let mut report = Report::default();
    for &scenario in &args.scenarios {
        // They alternate in each round, so that a busy minute of the machine affects
        // all of them alike.
        for round in 1..=args.rounds {
            for &setup in &setups {
                let outcome = scenario::run(&args, scenario, setup, round).map_err(|error| {
                    let run = format!("{} {setup}", args::name(&scenario));
                    io::Error::new(error.kind(), format!("{run}: {error}"))
                })?;
                report.add(outcome);
            }
        }
        report.print_scenario(scenario, &setups);
    }
    if let Some(path) = &args.json {
        report.save(path)?;
    }
    Ok(())
}
