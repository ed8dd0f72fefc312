//! What was typed, turned into checked options: one file per subcommand.
//!
//! A new subcommand is one variant of `Command`, one file here for its arguments and one module in `command` for
//! what it does.

mod serve;

mod pool;

mod inspect;

mod doctor;

mod load;

use crate::command;
use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};
use std::fmt::Display;
use std::process::ExitCode;

/// An S3 appliance on raw devices.
#[derive(Debug, Parser)]
#[command(name = "ashlar", version, about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Serve S3: a pool of real devices, or a demonstration pool in a folder.
    Serve(serve::Arguments),
    /// Make a pool of devices, or look at one.
    Pool(pool::Arguments),
    /// Print what is on a device, without ever writing to it.
    Inspect(inspect::Arguments),
    /// Say what the machine and devices give, what would be used of it, and what to do about it.
    Doctor(doctor::Arguments),
    /// Put a known load on an S3 server and say what it cost.
    Load(Box<load::Arguments>),
}

/// Does what the command line says. Mistakes in it are explained and end with status 2, failures with status 1.
#[must_use]
pub fn run() -> ExitCode {
    match Arguments::parse().command {
        Command::Serve(arguments) => match arguments.check() {
            Ok(serve::Served::Demo(options)) => finish(command::serve::run_demo(options)),
            Ok(serve::Served::Config(path, tls)) => finish(command::serve::run_config(&path, tls)),
            Err(message) => refuse("serve", message),
        },
        Command::Pool(arguments) => match arguments.action {
            pool::Action::Create(create) => finish(command::pool::create(&create.check())),
            pool::Action::Add(add) => finish(command::pool::add(&add.check())),
            pool::Action::Status { devices } => finish(command::pool::status(&devices)),
        },
        Command::Inspect(arguments) => match arguments.check() {
            Ok(options) => finish(command::inspect::run(&options)),
            Err(message) => refuse("inspect", message),
        },
        Command::Doctor(arguments) => finish(command::doctor::run(&arguments.check())),
        Command::Load(arguments) => match arguments.check() {
            Ok(options) => finish(command::load::run(options)),
            Err(message) => refuse("load", message),
        },
    }
}

fn finish<E: Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ashlar: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Explains what is wrong with arguments that are each well-formed, as clap explains those that are not.
fn refuse(subcommand: &str, message: impl Display) -> ExitCode {
    let mut command = Arguments::command();
    let found = command.find_subcommand_mut(subcommand);
    let error = match found {
        Some(found) => found.error(ErrorKind::ValueValidation, message),
        None => command.error(ErrorKind::ValueValidation, message),
    };
    error.exit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Arguments::command().debug_assert();
    }
}
