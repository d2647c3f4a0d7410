//! Progress on standard error: bars on a terminal, lines in a log, JSON lines for machines.

mod bars;
mod json;
mod plain;

use std::io::IsTerminal;
use std::sync::Arc;

use base::{Event, Events, Sink};

use crate::failure::Outcome;
use crate::printer::Printer;

/// `--progress`, for every command that takes long.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Args {
    /// How progress is shown
    #[arg(long, value_enum, default_value_t = Style::Auto, value_name = "STYLE")]
    progress: Style,
}

impl Default for Args {
    fn default() -> Self {
        Self { progress: Style::Auto }
    }
}

impl Args {
    /// With nothing shown, when the command was asked to be quiet.
    pub fn quiet_when(&self, quiet: bool) -> Self {
        Self { progress: if quiet { Style::Quiet } else { self.progress } }
    }

    /// For a command that shows no progress: whether it says anything but data.
    pub fn silent_when(quiet: bool) -> Self {
        Self { progress: if quiet { Style::Quiet } else { Style::Plain } }
    }

    /// A word to the user, before there is progress.
    pub fn note(&self, printer: Printer, text: &str) {
        match self.progress {
            Style::Quiet => {}
            Style::Json => json::note(text),
            Style::Auto | Style::Tty | Style::Plain => printer.note(format_args!("note: {text}")),
        }
    }
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Style {
    /// Bars on a terminal, lines elsewhere
    Auto,
    /// Bars
    Tty,
    /// Lines
    Plain,
    /// One JSON object a line
    #[value(alias = "rawjson")]
    Json,
    /// Nothing but warnings
    #[value(alias = "none")]
    Quiet,
}

/// Progress that is being shown.
pub struct Progress {
    shown: Arc<dyn Shown>,
    is_for_machines: bool,
}

/// A way to show events.
trait Shown: Send + Sync {
    /// Shows one.
    fn show(&self, event: Event);
    /// Clears away what is only for the time of the work.
    fn finish(&self) {}
}

impl Progress {
    /// Begins.
    pub fn start(args: &Args, printer: Printer) -> Outcome<Self> {
        let style = match args.progress {
            Style::Auto if std::io::stderr().is_terminal() => Style::Tty,
            Style::Auto => Style::Plain,
            style => style,
        };
        let shown: Arc<dyn Shown> = match style {
            Style::Tty => Arc::new(bars::Bars::new(printer)),
            Style::Json => Arc::new(json::Lines),
            Style::Quiet => Arc::new(Quiet(printer)),
            Style::Plain | Style::Auto => Arc::new(plain::Plain::new(printer)),
        };
        Ok(Self { shown, is_for_machines: style == Style::Json })
    }

    /// Whether everything has to be an event.
    pub fn is_for_machines(&self) -> bool {
        self.is_for_machines
    }

    /// Where to send events.
    pub fn events(&self) -> Events {
        struct Forward(Arc<dyn Shown>);
        impl Sink for Forward {
            fn event(&self, event: Event) {
                self.0.show(event);
            }
        }
        Events::new(Forward(self.shown.clone()))
    }

    /// Ends: whatever is printed from now on stands below.
    pub fn finish(&self) {
        self.shown.finish();
    }
}

struct Quiet(Printer);

impl Shown for Quiet {
    fn show(&self, event: Event) {
        if let Event::Warning(warning) = event {
            warn(self.0, &warning);
        }
    }
}

fn warn(printer: Printer, warning: &base::events::Warning) {
    printer.warning(base::text::line(&warning.short));
    for line in &warning.detail {
        printer.note(format!("  {}", base::text::line(line)));
    }
}

/// Seconds, as BuildKit's plain progress prints them: `0.1s`, `12.3s`.
fn seconds(from: Option<std::time::SystemTime>, to: Option<std::time::SystemTime>) -> String {
    let length = from.zip(to).and_then(|(from, to)| to.duration_since(from).ok()).unwrap_or_default();
    format!("{:.1}s", length.as_secs_f64())
}
