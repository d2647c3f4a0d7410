//! The arguments, and the way from them to a command.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base::Kind;
use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use sandbox::identity::Identity;
use store::{Leftovers, Store};

use crate::command;
use crate::failure::{Failure, FullDisk, Outcome};
use crate::printer::Printer;
use crate::{environment, exit, identity, progress, room, signals, units};

/// Builds, keeps, moves and runs container images. No daemon.
#[derive(Debug, Parser)]
#[command(
    name = "lap",
    version,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Type `lap COMMAND --help` for a command, `lap help exit-codes` and `lap help environment` for more.",
    after_long_help = "\
Examples:
  lap import rootfs.tar base:1      a base image from a root filesystem
  lap build -t app .                an image from ./Dockerfile
  lap run --rm app                  run it
  lap save -o app.tar app           take it along"
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// The directory of the store
    #[arg(long, global = true, value_name = "DIR", env = environment::ROOT, hide_env_values = true)]
    root: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Build(command::build::Args),
    Run(command::run::Args),
    #[command(alias = "ls")]
    Images(command::images::Args),
    Tag(command::tag::Args),
    Rmi(command::rmi::Args),
    Inspect(command::inspect::Args),
    History(command::history::Args),
    Pull(command::pull::Args),
    Push(command::push::Args),
    Copy(command::copy::Args),
    Search(command::search::Args),
    Registry(command::registry::Args),
    Login(command::login::LoginArgs),
    Logout(command::login::LogoutArgs),
    Save(command::save::Args),
    Load(command::load::Args),
    Import(command::import::Args),
    Serve(command::serve::Args),
    System(command::system::Args),
    #[command(alias = "info")]
    Doctor(command::doctor::Args),
    Image(command::image::Args),
    #[command(alias = "buildx")]
    Builder(command::builder::Args),
    Completions(command::completions::Args),
    Man(command::man::Args),
    Version(command::version::Args),
    Help(command::help::Args),
}

impl Command {
    /// The exit code of what fails for no reason of its own.
    fn failed(&self) -> u8 {
        match self {
            Command::Run(_) => exit::RUN_FAILED,
            _ => Kind::Io.exit_code(),
        }
    }

    fn uses_store(&self) -> bool {
        !matches!(
            self,
            // It enters the user namespace itself, and says what is in the way.
            Command::Doctor(_)
                | Command::Login(_)
                | Command::Logout(_)
                | Command::Search(_)
                | Command::Registry(_)
                | Command::Completions(_)
                | Command::Man(_)
                | Command::Version(_)
                | Command::Help(_)
        )
    }
}

/// What commands work with.
pub struct Context {
    /// What goes to the user.
    pub printer: Printer,
    /// Who this process is; not for commands that use no store.
    pub identity: Option<Identity>,
    root: Option<PathBuf>,
}

impl Context {
    /// Where the store is, or would be made.
    pub fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// Opens the store; makes it when there is none. Says what it cleared away.
    pub fn store(&self) -> Outcome<Store> {
        self.store_saying(|text| self.printer.note(format_args!("note: {text}")))
    }

    /// Opens the store, and says what it cleared away as the command's progress is shown.
    pub fn store_with(&self, progress: &progress::Args) -> Outcome<Store> {
        self.store_saying(|text| progress.note(self.printer, text))
    }

    fn store_saying(&self, say: impl FnOnce(&str)) -> Outcome<Store> {
        let root = self.root.as_ref().ok_or_else(|| {
            Failure::new(Kind::Invalid, "there is no place for the store: HOME is not set")
                .hint("name one with --root or LAPSTRAKE_ROOT")
        })?;
        let store = Store::open(root)?;
        let Leftovers { entries, bytes, cgroups } = store.cleared();
        let mut what = Vec::new();
        if entries > 0 {
            let entries =
                if entries == 1 { "1 file".to_owned() } else { format!("{entries} files and directories") };
            what.push(format!("{entries}, {}", units::size(bytes)));
        }
        match cgroups {
            0 => {}
            1 => what.push("1 cgroup".to_owned()),
            more => what.push(format!("{more} cgroups")),
        }
        if !what.is_empty() {
            say(&format!("cleared what an interrupted lap left behind: {}", what.join(", ")));
        }
        Ok(store)
    }
}

/// Parses, runs, and says how it went.
pub fn main() -> ExitCode {
    let cli = match command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            if let Some(failure) = of_docker(&error) {
                Printer::new(false).failure(&failure);
                return ExitCode::from(failure.code);
            }
            let code = if error.use_stderr() { exit::USAGE } else { 0 };
            // Help and version go to standard output, complaints to standard error; nothing can be done when it is gone.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let printer = Printer::new(false);
    // Who lap is run by decides where the store is, and is not to be seen any more once a user namespace is entered.
    let root = cli.global.root.or_else(environment::default_root);
    let entered = match cli.command.uses_store() {
        true => signals::tell_of_unreadable_maps(cli.command.failed())
            .and_then(|()| identity::enter(root.as_deref()))
            .map(Some),
        false => Ok(None),
    };
    let ran =
        entered.and_then(|identity| run(cli.command, &Context { printer, root: root.clone(), identity }));
    match ran {
        Ok(code) => ExitCode::from(code),
        Err(mut failure) => {
            let full = failure.full_disk.take().and_then(|disk| match disk {
                FullDisk::At(path) => room::at(&path),
                FullDisk::Store => root.filter(|root| !room::is_large(root)).and_then(|root| room::at(&root)),
            });
            if let Some(room) = full {
                failure = failure.hint(room);
            }
            printer.failure(&failure);
            ExitCode::from(failure.code)
        }
    }
}

/// A command of docker that is not here, and what does its work.
fn of_docker(error: &clap::Error) -> Option<Failure> {
    let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let instead = command::elsewhere::instead_of(name)?;
    Some(Failure::new(Kind::Invalid, format!("lap has no {name}")).hint(instead).with_code(exit::USAGE))
}

/// The whole command line, also for completions and manual pages.
pub fn command() -> clap::Command {
    Cli::command()
}

fn run(command: Command, context: &Context) -> Outcome<u8> {
    match command {
        Command::Build(args) => command::build::run(context, args),
        Command::Run(args) => command::run::run(context, args),
        Command::Images(args) => command::images::run(context, &args),
        Command::Tag(args) => command::tag::run(context, &args),
        Command::Rmi(args) => command::rmi::run(context, &args),
        Command::Inspect(args) => command::inspect::run(context, &args),
        Command::History(args) => command::history::run(context, &args),
        Command::Pull(args) => command::pull::run(context, &args),
        Command::Push(args) => command::push::run(context, &args),
        Command::Copy(args) => command::copy::run(context, &args),
        Command::Search(args) => command::search::run(context, &args),
        Command::Registry(args) => command::registry::run(context, &args),
        Command::Login(args) => command::login::login(context, &args),
        Command::Logout(args) => command::login::logout(context, &args),
        Command::Save(args) => command::save::run(context, &args),
        Command::Load(args) => command::load::run(context, &args),
        Command::Import(args) => command::import::run(context, &args),
        Command::Serve(args) => command::serve::run(context, &args),
        Command::System(args) => command::system::run(context, &args),
        Command::Doctor(args) => command::doctor::run(context, &args),
        Command::Image(args) => command::image::run(context, args),
        Command::Builder(args) => command::builder::run(context, args),
        Command::Completions(args) => command::completions::run(context, &args),
        Command::Man(args) => command::man::run(context, &args),
        Command::Version(args) => command::version::run(context, &args),
        Command::Help(args) => command::help::run(context, &args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }
}
