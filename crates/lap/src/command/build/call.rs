//! `lap build --call`: what can be said about a Dockerfile without building it, as docker says it (DF-216).

mod json;
mod text;

use builder::{Checked, Outline, Target};

use super::{Work, explain, say_warnings};
use crate::cli::Context;
use crate::failure::Outcome;

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
pub fn run(context: &Context, call: Call, work: &Work<'_>) -> Outcome<u8> {
    let Work { store, request, session, progress, cancel } = work;
    let answer = match call.method {
        Method::Targets => builder::targets(&request.dockerfile).map(Answer::Targets),
        Method::Outline => {
            builder::outline(store, request, session, &progress.events(), cancel).map(Answer::Outline)
        }
        Method::Build | Method::Check => {
            Ok(Answer::Checked(builder::check(store, request, session, &progress.events(), cancel)))
        }
    };
    progress.finish();
    let answer = answer.map_err(|error| explain(context, request, error))?;
    if let Answer::Checked(checked) = &answer {
        say_warnings(context, progress, request, &checked.warnings);
    }
    print(context, call, request, &answer)?;
    match answer {
        Answer::Checked(Checked { error: Some(error), .. }) => Err(explain(context, request, error)),
        Answer::Checked(checked) => Ok(u8::from(!checked.findings.is_empty() && !call.ignores_status)),
        Answer::Outline(_) | Answer::Targets(_) => Ok(0),
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
