//! `lap build --call`: what can be said about a Dockerfile without building it, as docker says it (DF-216).

mod json;
mod text;

use builder::{Checked, Outline, Target};

use super::inputs::CommandSession;
use super::secrets::Secrets;
use super::ssh::Agents;
use super::{Args, explain, inputs, outputs, request, say_warnings};
use crate::cli::Context;
use crate::failure::Outcome;
use crate::network::{Fetcher, Policy};
use crate::progress::Progress;
use crate::signals;

/// What to do with a Dockerfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    method: Method,
    format: Format,
    /// Whether what a check finds makes no difference for the exit code.
    ignores_status: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Build,
    Check,
    Outline,
    Targets,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

impl Call {
    /// To look for mistakes, for people.
    pub fn check() -> Self {
        Self { method: Method::Check, format: Format::Text, ignores_status: false }
    }

    /// Whether it is an ordinary build.
    pub fn builds(self) -> bool {
        self.method == Method::Build
    }
}

/// Reads `METHOD[,format=text|json][,ignorestatus[=true|false]]`.
pub fn parse(text: &str) -> Result<Call, String> {
    let mut fields = text.split(',');
    let method = match fields.next().unwrap_or_default() {
        "" | "build" => Method::Build,
        "check" | "lint" => Method::Check,
        "outline" => Method::Outline,
        "targets" => Method::Targets,
        _ => return Err("the method has to be build, check, outline or targets".to_owned()),
    };
    let mut call = Call { method, format: Format::Text, ignores_status: false };
    for field in fields {
        match field.split_once('=').unwrap_or((field, "")) {
            ("format", "text") => call.format = Format::Text,
            ("format", "json") => call.format = Format::Json,
            ("format", _) => return Err("the format has to be text or json".to_owned()),
            ("ignorestatus", "" | "true" | "1") => call.ignores_status = true,
            ("ignorestatus", "false" | "0") => call.ignores_status = false,
            _ => {
                return Err(format!(
                    "there is no option {field:?}: format=text|json, ignorestatus=true|false"
                ));
            }
        }
    }
    Ok(call)
}

/// What came of a call.
enum Answer {
    Checked(Checked),
    Outline(Outline),
    Targets(Vec<Target>),
}

/// Does something else than building.
pub fn run(context: &Context, args: &Args, call: Call, inputs: inputs::Inputs) -> Outcome<u8> {
    let request = request(args, inputs.dockerfile.clone(), &outputs::parse(&[])?)?;
    if call.method == Method::Targets {
        let targets =
            builder::targets(&request.dockerfile).map_err(|error| explain(context, &request, error))?;
        print(context, call, &request, &Answer::Targets(targets))?;
        return Ok(0);
    }
    let progress = args.progress.quiet_when(args.quiet);
    let store = context.store_with(&progress)?;
    let policy = if args.pull { Policy::Always } else { Policy::Missing };
    let fetcher = Fetcher::new(&store, &args.registries, policy)?;
    let (secrets, agents) = (Secrets::default(), Agents::default());
    let session = CommandSession::new(inputs, fetcher, outputs::parse(&[])?, secrets, agents);
    let cancel = signals::cancel_on_signal()?;
    let progress = Progress::start(&progress, context.printer)?;
    if call.method == Method::Outline {
        let outline = builder::outline(&store, &request, &session, &progress.events(), &cancel);
        progress.finish();
        let outline = outline.map_err(|error| explain(context, &request, error))?;
        print(context, call, &request, &Answer::Outline(outline))?;
        return Ok(0);
    }
    let checked = builder::check(&store, &request, &session, &progress.events(), &cancel);
    progress.finish();
    say_warnings(context, &progress, &request, &checked.warnings);
    let found = !checked.findings.is_empty();
    let answer = Answer::Checked(checked);
    print(context, call, &request, &answer)?;
    match answer {
        Answer::Checked(Checked { error: Some(error), .. }) => Err(explain(context, &request, error)),
        _ => Ok(u8::from(found && !call.ignores_status)),
    }
}

fn print(context: &Context, call: Call, request: &builder::Request, answer: &Answer) -> Outcome {
    let source = &request.dockerfile;
    let text = match call.format {
        Format::Text => text::of(answer, source),
        Format::Json => json::of(answer, source),
    };
    context.printer.data(text)
}
