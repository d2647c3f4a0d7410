//! `lap build`

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use archive::save::Item;
use base::events::{Event, Warning};
use base::{Cancel, Classified, Events, IoContext, Kind};
use bring::Bringer;
use builder::{BuildError, BuildWarning, Entitlement, Epoch, Outcome as Built, Request};
use distribution::push::Pushed;
use image::{Platform, Reference};
use layer::Encoding;
use sandbox::Runner;
use session::{Asked, CommandSession};
use store::Store;

use crate::cli::Context;
use crate::failure::{Failure, Outcome};
use crate::network::{Fetcher, Policy};
use crate::progress::{self, Progress};
use crate::{command, excerpt, identity, network, signals};

mod bring;
mod call;
mod inputs;
mod outputs;
mod request;
mod secrets;
mod session;
mod source;
mod ssh;

pub use outputs::compression;

/// Build an image from a Dockerfile
///
/// The steps run in isolated containers, and what each changes becomes a layer. What was built before from the same input is taken from the cache.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lap build -t app .
  lap build -t app -f docker/Dockerfile --target test --build-arg VERSION=1.2 .
  lap build -o type=oci,dest=app.tar .     an OCI image layout in a tar
  lap build -o rootfs .                    the root filesystem in a directory
  lap build -t app - <Dockerfile           a Dockerfile without a context
  git archive HEAD | lap build -t app -    a context that is a tar
  lap build https://host/app.git#main:src  a directory of a commit of a git repository
  lap build --build-context base=../base . FROM base is what is in ../base
  lap build --platform linux/amd64,linux/arm64 -t registry.example.com/app --push .
                                           an index of two images, pushed under one name
  lap build --check .                      what looks like a mistake, without building")]
pub struct Args {
    /// The name of the image; may be repeated
    #[arg(short, long, value_name = "NAME[:TAG]")]
    tag: Vec<String>,
    /// The Dockerfile (PATH/Dockerfile when not given), or - for standard input; with a tar: a file in it
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The stage to build, when it is not the last one
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Set an ARG; without a value: take it over from the environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,
    /// Where the files of a name come from that FROM, COPY --from or a stage has: DIR, docker-image://IMAGE, oci-layout://DIR:NAME, https://… of a tar or of a git repository
    #[arg(long, value_name = "NAME=VALUE")]
    build_context: Vec<String>,
    /// A secret for RUN --mount=type=secret, or for a server (HTTP_AUTH_TOKEN_host, GIT_AUTH_TOKEN): id=NAME with src=FILE or env=VARIABLE
    #[arg(long, value_name = "id=NAME[,src=FILE|,env=VARIABLE]")]
    secret: Vec<String>,
    /// An SSH agent for RUN --mount=type=ssh, and (default) for git repositories: that of SSH_AUTH_SOCK, one that listens at a socket, or one with unencrypted keys
    #[arg(long, value_name = "default|ID[=SOCKET|=KEYFILE[,KEYFILE]]")]
    ssh: Vec<String>,
    /// Set a label
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Execute every step, whatever was built before
    #[arg(long)]
    no_cache: bool,
    /// Execute every step of a stage; may be repeated
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    no_cache_filter: Vec<String>,
    /// Say of every step that is executed why it was not taken from the cache
    #[arg(long, conflicts_with = "quiet")]
    explain: bool,
    /// Where the result goes: DIR, - (a tar), or type=oci|docker|local|tar|image[,dest=PATH]
    #[arg(short, long, value_name = "OUTPUT")]
    output: Vec<String>,
    /// The network of RUN steps: host or none
    #[arg(long, value_name = "NETWORK", default_value = "default", value_parser = ["default", "host", "none"])]
    network: String,
    /// Allow what takes isolation away: security.insecure, network.host, device; may be repeated
    #[arg(long, value_name = "ENTITLEMENT", value_delimiter = ',', value_parser = request::entitlement)]
    allow: Vec<Entitlement>,
    /// The platform of the image; with several, separated by commas or repeated, an index of their images
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_delimiter = ',')]
    platform: Vec<String>,
    /// No time that is written is later than this (seconds since 1970, or context: the newest time in there; 0 when only the flag is given): also what RUN makes is the same every time
    #[arg(long, value_name = "EPOCH", num_args = 0..=1, require_equals = true, default_missing_value = "0", allow_negative_numbers = true, value_parser = request::epoch)]
    reproducible: Option<Epoch>,
    /// How many steps work at a time
    #[arg(long, value_name = "COUNT")]
    threads: Option<usize>,
    /// Write the image's ID to a file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// Write what is known of the result to a file, as JSON
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    /// Print only the image's ID
    #[arg(short, long)]
    quiet: bool,
    /// Fetch the base images from their registries, also when they are there
    #[arg(long)]
    pull: bool,
    /// Look for mistakes instead of building: the same as --call=check
    #[arg(long, conflicts_with = "call")]
    check: bool,
    /// What to do with the Dockerfile: build, check, outline (what the target takes), targets; with ,format=json as JSON
    #[arg(long, value_name = "METHOD[,format=FORMAT]", default_value = "build", value_parser = call::parse)]
    call: call::Call,
    /// Push the image to the registries that its names say
    #[arg(long, requires = "tag")]
    push: bool,
    #[command(flatten)]
    registries: network::Args,
    #[command(flatten)]
    ways: command::ways::Args,
    #[command(flatten)]
    runtime: command::runtime::Args,
    #[command(flatten)]
    resources: command::resources::Args,
    #[command(flatten)]
    progress: progress::Args,
    /// What COPY and ADD copy from: a directory, https://… of a tar or of a git repository (#REF:DIRECTORY), or - for a tar on the standard input; a Dockerfile there has no context
    #[arg(value_name = "PATH|URL|-")]
    context: PathBuf,
}

pub fn run(context: &Context, args: Args) -> Outcome<u8> {
    let call = if args.check { call::Call::check() } else { args.call };
    let outputs = outputs::parse(if call.builds() { &args.output } else { &[] })?;
    let named = source::named(&args.build_context)?;
    let secrets = secrets::parse(&args.secret)?;
    let agents = ssh::parse(&args.ssh)?;
    let mut request = request::request(&args, &outputs, named.keys().cloned().collect())?;
    if !call.builds() {
        // What is said of a Dockerfile is said once.
        request.platforms.truncate(1);
    }
    if args.push && !request.keeps_image() {
        return Err(Failure::new(Kind::Invalid, "an image that is not kept in the store cannot be pushed")
            .hint("add -o type=image"));
    }
    // What is on this machine is read at once: what is wrong with it is said before anything else happens.
    let source = source::main(&args.context, args.file.as_deref())?;
    let runner = args.runtime.runner()?;
    let shown = args.progress.quiet_when(args.quiet);
    let store = context.store_with(&shown)?;
    outputs.clear(|text| shown.note(context.printer, text));
    let policy = if args.pull { Policy::Always } else { Policy::Missing };
    let fetcher = Fetcher::new(&store, &args.registries, policy)?;
    let cancel = signals::cancel_on_signal()?;
    if call.builds() && !args.quiet {
        identity::say_what_is_given_up(context);
    }
    let progress = Progress::start(&shown, context.printer)?;
    let events = progress.events();
    let bringer = Bringer {
        store: &store,
        fetcher: &fetcher,
        secrets: &secrets,
        agents: &agents,
        events: &events,
        cancel: &cancel,
    };
    let (inputs, _brought) =
        bring::inputs(&bringer, source, args.file.as_deref()).inspect_err(|_| progress.finish())?;
    request.dockerfile = inputs.dockerfile;
    let asked = Asked { context: inputs.context, named, outputs, secrets, agents };
    let session = CommandSession::new(&store, fetcher, asked);
    let work = Work { store: &store, request: &request, session, progress, cancel };
    if call.builds() { build(context, &args, &runner, work) } else { call::run(context, call, &work) }
}

/// All that a build is made of.
struct Work<'a> {
    store: &'a Store,
    request: &'a Request,
    session: CommandSession,
    progress: Progress,
    cancel: Cancel,
}

fn build(context: &Context, args: &Args, runner: &Runner, work: Work<'_>) -> Outcome<u8> {
    let Work { store, request, session, progress, cancel } = work;
    let built = builder::build(store, request, &session, runner, &progress.events(), &cancel);
    let warnings = session.take_warnings();
    let pushed = match &built {
        Ok(built) if args.push => push(store, args, request, built, &progress.events(), &cancel),
        _ => Ok(Vec::new()),
    };
    progress.finish();
    say_warnings(context, &progress, request, &warnings);
    let built = built.map_err(|error| explain(context, request, error))?;
    session.commit()?;
    let pushed = pushed?;
    report(context, args, request, &built, &pushed)?;
    for (item, pushed) in &pushed {
        command::push::report(context, item, pushed, args.quiet)?;
    }
    Ok(0)
}

/// Pushes what was built, once to each repository.
fn push(
    store: &Store,
    args: &Args,
    request: &Request,
    built: &Built,
    events: &Events,
    cancel: &Cancel,
) -> Outcome<Vec<(Item, Pushed)>> {
    let client = args.registries.client()?;
    let lease = store.lease("push")?;
    let options = command::push::options(Encoding::DEFAULT);
    let mut repositories: BTreeMap<String, Vec<Reference>> = BTreeMap::new();
    for tag in &request.tags {
        repositories.entry(tag.repository()).or_default().push(tag.clone());
    }
    let mut pushed = Vec::new();
    for names in repositories.into_values() {
        let (image, manifest, variants) = (built.image, built.manifest.clone(), built.variants.clone());
        let item = Item { image, manifest, variants, names };
        let one = distribution::push::push(&client, store, &lease, &item, options, events, cancel);
        client.tell(events);
        pushed.push((item, one?));
    }
    Ok(pushed)
}

/// Says what looks like a mistake, with its place in the Dockerfile.
fn say_warnings(context: &Context, progress: &Progress, request: &Request, warnings: &[BuildWarning]) {
    let (name, source) = (&request.dockerfile.name, &request.dockerfile.bytes);
    for warning in warnings {
        let text = match warning.rule {
            Some(rule) => format!("{rule}: {}", warning.text),
            None => warning.text.clone(),
        };
        let see = warning.rule.map(|rule| rule.url());
        if progress.is_for_machines() {
            let place = warning.span.map(|span| format!("{}:{}", base::text::line(name), span.line));
            let detail = place.into_iter().chain(see).collect();
            progress.events().send(Event::Warning(Warning { vertex: None, short: text, detail }));
        } else if let Some(span) = warning.span {
            let excerpt =
                excerpt::warning(name, source, &text, span, see.as_deref(), context.printer.colours());
            context.printer.note(format!("{}\n", excerpt.trim_end()));
        } else {
            context.printer.warning(text);
        }
    }
}

/// An error with its place in the Dockerfile, and the end of the log of the step that failed.
fn explain(context: &Context, request: &Request, error: BuildError) -> Failure {
    let tail = String::from_utf8_lossy(error.log_tail()).into_owned();
    let whole = error.whole_log().map(std::path::Path::to_owned);
    let Some(place) = error.place() else { return Failure::from(error) };
    let hint = error.hint();
    let (name, source) = (&request.dockerfile.name, &request.dockerfile.bytes);
    let failure = Failure::from(error);
    let message = failure.message();
    let mut text = String::new();
    if !tail.is_empty() {
        text.push_str("------\n");
        text.extend(tail.lines().map(|line| format!(" > {}\n", base::text::line(line))));
        text.push_str("------\n");
    }
    if let Some(whole) = whole {
        text.push_str(&format!("all of its output: {}\n", base::text::path(&whole)));
    }
    text.push_str(&excerpt::render(
        name,
        source,
        &message,
        &place,
        hint.as_deref(),
        context.printer.colours(),
    ));
    failure.without_hint(hint.as_deref().unwrap_or_default()).with_excerpt(text)
}

fn report(
    context: &Context,
    args: &Args,
    request: &Request,
    built: &Built,
    pushed: &[(Item, Pushed)],
) -> Outcome {
    if let Some(file) = &args.iidfile {
        std::fs::write(file, built.image.to_string()).context("write", file)?;
    }
    if let Some(file) = &args.metadata_file {
        let names: Vec<String> = request.tags.iter().map(ToString::to_string).collect();
        let here = built.variants.as_ref().map_or(&built.manifest, |variants| &variants.index);
        // What is on a registry is what others can ask for.
        let described = pushed.first().map_or(here, |(_, pushed)| &pushed.manifest);
        let metadata = serde_json::json!({
            "containerimage.config.digest": built.image,
            "containerimage.digest": described.digest,
            "containerimage.descriptor": described,
            "image.name": names.join(","),
        });
        std::fs::write(file, crate::json::pretty(&metadata)).context("write", file)?;
    }
    if args.quiet {
        return context.printer.line(built.image);
    }
    if request.keeps_image() {
        let names: Vec<String> = request.tags.iter().map(Reference::familiar).collect();
        context.printer.note(match names.as_slice() {
            [] => format!("built {}", built.image),
            names => format!("built {} as {}", built.image.0.short(), names.join(", ")),
        });
        for variant in built.variants.iter().flat_map(|variants| &variants.images) {
            let platform = variant.manifest.platform.as_ref().map(Platform::to_string).unwrap_or_default();
            context.printer.note(format!("for {platform}: {}", variant.image.0.short()));
        }
    }
    Ok(())
}

/// A stream for an export.
type Stream = Box<dyn Write + Send>;

/// Reads a whole file, which may be a pipe; more than `limit` bytes are refused.
fn read_limited(path: &Path, reader: &mut dyn io::Read, limit: u64) -> Outcome<Vec<u8>> {
    use io::Read as _;
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes).context("read", path)?;
    if bytes.len() as u64 > limit {
        return Err(Failure::new(
            Kind::TooLarge,
            format!("{} is larger than {limit} bytes", base::text::path(path)),
        ));
    }
    Ok(bytes)
}
