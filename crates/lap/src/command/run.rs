//! `lap run`

use std::io::IsTerminal;
use std::path::PathBuf;

use base::{Cancel, Kind};
use engine::merge::Wishes;
use engine::run::RunRequest;
use engine::snapshot::Snapshots;
use image::Platform;
use sandbox::{Input, Isolation, Mount, Network, Output, Stdio};
use store::{ImageRecord, Store, StoreError};

use crate::cli::Context;
use crate::command::{resources, runtime};
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::identity;
use crate::network::{self, Fetcher, Policy};
use crate::progress::{self, Progress};
use crate::signals;

mod foreground;
mod terminal;

/// Run a command in an image
///
/// The command sees the image's files; what it changes is gone when it ends. Its exit code is that of `lap run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lap run --rm app
  lap run --rm -it debian:bookworm bash
  lap run --rm -v \"$PWD:/src\" -w /src -u 1000:1000 gcc make
  lap run --rm -e DEBUG=1 --network none app --verbose
  lap run --rm -m 512m --cpus 1.5 --pids-limit 100 --ulimit nofile=1024 app")]
pub struct Args {
    /// Remove the container when it ends (required: containers that stay come with a later version)
    #[arg(long)]
    rm: bool,
    /// Set a variable; without a value: take it over from here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read variables from a file, one NAME=VALUE a line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// The working directory
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// The user: NAME, UID, NAME:GROUP, UID:GID
    #[arg(short, long)]
    user: Option<String>,
    /// Show a directory or file of this machine in the container, read-only with `:ro`
    #[arg(short, long, value_name = "SOURCE:TARGET[:OPTIONS]")]
    volume: Vec<String>,
    /// A memory filesystem: TARGET[:size=…]
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    tmpfs: Vec<String>,
    /// Keep standard input open
    #[arg(short, long)]
    interactive: bool,
    /// A terminal
    #[arg(short, long)]
    tty: bool,
    /// Run this instead of the image's entrypoint
    #[arg(long, value_name = "COMMAND")]
    entrypoint: Option<String>,
    /// The network: host or none
    #[arg(long, default_value = "host", value_parser = ["host", "none"])]
    network: String,
    /// The name of the machine inside
    #[arg(long)]
    hostname: Option<String>,
    /// A tiny init as process 1: reaps what is left behind, forwards signals
    #[arg(long)]
    init: bool,
    /// The root filesystem cannot be written to
    #[arg(long)]
    read_only: bool,
    #[command(flatten)]
    ways: super::ways::Args,
    /// When to fetch the image from its registry
    #[arg(long, value_enum, default_value_t = Policy::Missing, value_name = "WHEN")]
    pull: Policy,
    #[command(flatten)]
    network_args: network::Args,
    #[command(flatten)]
    runtime: runtime::Args,
    #[command(flatten)]
    resources: resources::Args,
    #[command(flatten)]
    limits: resources::RunArgs,
    /// The image: a name or an ID
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The command, and its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub fn run(context: &Context, args: Args) -> Outcome<u8> {
    // Whatever fails before the command runs is 125, as with docker (CT-1).
    start(context, args)
        .map_err(|failure| if failure.code == 1 { failure.with_code(exit::RUN_FAILED) } else { failure })
}

fn start(context: &Context, args: Args) -> Outcome<u8> {
    if !args.rm {
        return Err(Failure::new(
            Kind::Unsupported,
            "containers that stay after their end are not supported",
        )
        .hint("add --rm"));
    }
    if args.tty && !std::io::stdin().is_terminal() {
        return Err(Failure::new(Kind::Invalid, "the input device is not a TTY").hint("leave out -t"));
    }
    let runner = args.runtime.runner()?;
    let store = context.store()?;
    let fetcher = Fetcher::new(&store, &args.network_args, args.pull)?;
    let image = image(context, &store, &fetcher, &args)?;
    let request = request(&args, image.id)?;
    say_of_another_machine(context, &store, &image)?;
    let snapshots = Snapshots::choose(&store, args.ways.ways())?;
    say_what_is_given_up(context, &args, snapshots.isolation())?;
    let stdio = stdio(&args);
    let exit = foreground::run(args.interactive, |cancel| {
        engine::run::start(&store, &snapshots, &request, &runner, stdio, cancel).map_err(|error| {
            let code = error.exit_code();
            Failure::from(error).with_code(code)
        })
    })?;
    if let Some(bytes) = request.resources.limits.memory.filter(|_| exit.out_of_memory) {
        context.printer.note(format_args!(
            "note: out of memory: the kernel killed a process, since all of the {bytes} bytes of --memory were used"
        ));
    }
    Ok(u8::try_from(exit.status.exit_code()).unwrap_or(u8::MAX))
}

/// Says what the command has to do without; what was asked for and cannot be had is an error.
fn say_what_is_given_up(context: &Context, args: &Args, isolation: Isolation) -> Outcome {
    identity::say_what_is_given_up(context);
    if isolation.gives_up().is_empty() {
        return Ok(());
    }
    if args.hostname.is_some() {
        return Err(Failure::new(
            Kind::Unsupported,
            "a host name of its own is not supported without namespaces",
        )
        .hint("leave out --hostname; `lap doctor` says what is missing for namespaces"));
    }
    context.printer.note(format_args!(
        "note: the command runs without namespaces (isolation by {}): `lap doctor` says what it has to do without",
        isolation.name()
    ));
    Ok(())
}

/// Says that an image is for another machine, as docker does: without an emulator nothing in it runs.
fn say_of_another_machine(context: &Context, store: &Store, image: &ImageRecord) -> Outcome {
    let of_image = store.images().config(&image.id)?.value().platform();
    let machine = Platform::host();
    if of_image.os == machine.os && of_image.architecture != machine.architecture {
        context.printer.note(format_args!(
            "note: the image is for {of_image}, and this machine is {machine}: its programs need an emulator"
        ));
    }
    Ok(())
}

/// The image, fetched when it is missing.
fn image(context: &Context, store: &Store, fetcher: &Fetcher, args: &Args) -> Outcome<ImageRecord> {
    let there = match store.images().resolve(&args.image) {
        Err(StoreError::NoImage(_)) => None,
        other => Some(other?),
    };
    if args.pull == Policy::Never || (args.pull == Policy::Missing && there.is_some()) {
        return there.ok_or_else(|| StoreError::NoImage(args.image.clone()).into());
    }
    let progress = Progress::start(&progress::Args::default(), context.printer)?;
    let fetch = |cancel: &Cancel| {
        fetcher.fetch(&args.image, there.is_some(), &Platform::host(), &progress.events(), cancel)
    };
    let fetched = signals::cancel_during(fetch)?;
    progress.finish();
    fetched?;
    Ok(store.images().resolve(&args.image)?)
}

fn stdio(args: &Args) -> Stdio {
    if args.tty {
        return Stdio::default();
    }
    let stdin = if args.interactive { Input::Inherit } else { Input::Null };
    Stdio { stdin, stdout: Output::Inherit, stderr: Output::Inherit }
}

fn request(args: &Args, image: image::ImageId) -> Outcome<RunRequest> {
    let network = if args.network == "none" { Network::None } else { Network::Host };
    let hostname = match (&args.hostname, network) {
        (Some(hostname), _) => hostname.clone(),
        (None, Network::Host) => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        (None, Network::None) => image.0.short(),
    };
    let mounts = args.volume.iter().map(|text| volume(text)).chain(args.tmpfs.iter().map(|text| tmpfs(text)));
    let mut resources = args.resources.resources()?;
    args.limits.add(&mut resources.limits)?;
    Ok(RunRequest {
        image,
        wishes: Wishes {
            command: args.command.clone(),
            entrypoint: args.entrypoint.clone(),
            env: environment(args)?,
            working_directory: args.workdir.clone(),
            user: args.user.clone(),
            hostname,
            terminal: args.tty,
        },
        mounts: mounts.collect::<Outcome<_>>()?,
        network,
        terminal: args.tty.then(terminal::size),
        init: args.init,
        read_only: args.read_only,
        resources,
    })
}

/// Variables from files first, then from flags; a name without a value is taken over when it is set here (CT-12).
fn environment(args: &Args) -> Outcome<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for file in &args.env_file {
        let text = std::fs::read_to_string(file)
            .map_err(|source| Failure::from(base::IoError { action: "read", path: file.clone(), source }))?;
        let lines = text.lines().map(str::trim_start).enumerate();
        for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let place = || format!("{}:{}: ", base::text::path(file), number + 1);
            // In a file a blank in a name is a mistake; a flag can have one, as with docker.
            let name = line.split('=').next().unwrap_or_default();
            let name = if name.contains(char::is_whitespace) { Err(not_a_name(name)) } else { Ok(()) };
            pairs.extend(
                name.and_then(|()| variable(line)).map_err(|reason| bad_variable(&(place() + &reason)))?,
            );
        }
    }
    for text in &args.env {
        pairs.extend(variable(text).map_err(|reason| bad_variable(&reason))?);
    }
    Ok(pairs)
}

fn bad_variable(message: &str) -> Failure {
    Failure::new(Kind::Invalid, message).hint("write NAME=VALUE, or NAME for one that is set here")
}

fn not_a_name(name: &str) -> String {
    format!("\"{}\" cannot be the name of a variable", base::text::line(name))
}

/// `None` for a name that is not set here.
fn variable(text: &str) -> Result<Option<(String, String)>, String> {
    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
    if name.is_empty() {
        return Err(not_a_name(name));
    }
    let value = value.map(str::to_owned).or_else(|| std::env::var(name).ok());
    Ok(value.map(|value| (name.to_owned(), value)))
}

/// `SOURCE:TARGET[:ro|rw]` (CT-43, CT-44). Named and anonymous volumes are not supported: an error, never an empty directory.
fn volume(text: &str) -> Outcome<Mount> {
    let wrong = |reason: &str| {
        Failure::new(
            Kind::Invalid,
            format!("invalid volume {}: {reason}", base::text::bytes(text.as_bytes())),
        )
        .hint("a volume is SOURCE:TARGET[:ro], both absolute paths")
    };
    let mut parts = text.split(':');
    let (source, target) =
        (parts.next().unwrap_or_default(), parts.next().ok_or_else(|| wrong("there is no target"))?);
    if !target.starts_with('/') {
        return Err(wrong("the target is not an absolute path"));
    }
    let source = match source {
        path if path.starts_with('/') => PathBuf::from(path),
        path if path.starts_with("./") || path.starts_with("../") || path == "." => {
            std::path::absolute(path).map_err(|error| wrong(&error.to_string()))?
        }
        _ => return Err(wrong("named volumes are not supported")),
    };
    if !source.exists() {
        return Err(wrong("the source does not exist"));
    }
    let mut mount = Mount::bind(source, target);
    for option in parts.flat_map(|options| options.split(',')) {
        match option {
            "ro" | "readonly" => mount.read_only = true,
            // Labels and hints for systems that this one is not; docker accepts them everywhere.
            "rw" | "z" | "Z" | "cached" | "consistent" | "delegated" | "rprivate" | "private" => {}
            other => return Err(wrong(&format!("the option {other} is not known"))),
        }
    }
    Ok(mount)
}

fn tmpfs(text: &str) -> Outcome<Mount> {
    let wrong = |reason: &str| {
        Failure::new(Kind::Invalid, format!("invalid tmpfs {}: {reason}", base::text::bytes(text.as_bytes())))
    };
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    if !target.starts_with('/') {
        return Err(wrong("the target is not an absolute path"));
    }
    let mut mount = Mount::tmpfs(target, None);
    let (mut size, mut mode) = (None, 0o1777);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", text)) => {
                size = Some(crate::units::parse_size(text).ok_or_else(|| wrong("the size is not a size"))?);
            }
            Some(("mode", text)) => {
                let number = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
                mode = number.ok_or_else(|| wrong("the mode is not an octal number"))?;
            }
            None if option == "ro" => mount.read_only = true,
            None if matches!(option, "rw" | "nosuid" | "nodev" | "noexec") => {}
            None if option == "exec" => mount.no_exec = false,
            _ => return Err(wrong(&format!("the option {option} is not known"))),
        }
    }
    mount.source = sandbox::MountSource::Tmpfs { size, mode };
    Ok(mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ct_43_volumes() {
        let mount = volume("/tmp:/data:ro").expect("a volume");
        assert!(mount.read_only);
        assert_eq!(mount.target, PathBuf::from("/data"));
        for wrong in ["/tmp", "/tmp:data", "name:/data", "/tmp:/data:what", "/does/not/exist:/data"] {
            assert!(volume(wrong).is_err(), "{wrong}");
        }
    }
}
