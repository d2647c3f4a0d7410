//! `lap login` and `lap logout`

use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;

use base::Kind;
use distribution::credentials::{Saved, erase};
use distribution::login;

use crate::cli::Context;
use crate::failure::{Failure, Outcome};
use crate::{network, signals};

/// A password is not longer.
const MAX_PASSWORD: u64 = 64 << 10;

/// Log in to a registry
///
/// User and password are checked with the registry before they are kept: by the credential helper that docker's configuration names, else in its file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lap login                                       Docker Hub
  lap login -u anna registry.example.com          asks for the password
  pass show registry | lap login -u anna --password-stdin registry.example.com")]
pub struct LoginArgs {
    /// The user
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    /// The password; --password-stdin is the safer way
    #[arg(short, long, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,
    #[command(flatten)]
    network: network::Args,
    /// The registry
    #[arg(value_name = "HOST[:PORT]", default_value = "docker.io")]
    registry: String,
}

/// Forget who one is on a registry
#[derive(Debug, clap::Args)]
pub struct LogoutArgs {
    #[command(flatten)]
    network: network::Args,
    /// The registry
    #[arg(value_name = "HOST[:PORT]", default_value = "docker.io")]
    registry: String,
}

pub fn login(context: &Context, args: &LoginArgs) -> Outcome<u8> {
    let host = network::host(&args.registry)?;
    let file = file(&args.network)?;
    let client = args.network.client()?;
    let cancel = signals::cancel_on_signal()?;
    if args.username.is_none() && args.password.is_none() {
        // What is there may be good.
        if let Some(credential) = login::check(&client, &host, &cancel)? {
            context.printer.line(format!(
                "Login Succeeded: as {}, with what {} has",
                credential.user(),
                credential.source
            ))?;
            return Ok(0);
        }
    }
    let user = match &args.username {
        Some(user) => user.clone(),
        None => ask("Username: ", true)?,
    };
    let password = match &args.password {
        Some(password) => {
            context.printer.warning("a password among the arguments can be seen by others on this machine; --password-stdin hides it");
            password.clone()
        }
        None if args.password_stdin => from_stdin()?,
        None => ask("Password: ", false)?,
    };
    for (what, text) in [("user", &user), ("password", &password)] {
        if text.is_empty() {
            return Err(Failure::new(Kind::Invalid, format!("the {what} is empty"))
                .hint("give the user with -u, and the password on standard input with --password-stdin"));
        }
    }
    match login::login(&client, &host, &user, &password, &file, &cancel)? {
        Saved::Helper(program) => context.printer.note(format!("{program} keeps the credentials")),
        Saved::File(path) => context.printer.warning(format!(
            "the credentials are kept unencrypted in {}; a credential helper (credsStore there) would encrypt them",
            base::text::path(&path)
        )),
    }
    context.printer.line("Login Succeeded")?;
    Ok(0)
}

pub fn logout(context: &Context, args: &LogoutArgs) -> Outcome<u8> {
    let host = network::host(&args.registry)?;
    let cancel = signals::cancel_on_signal()?;
    if erase(&file(&args.network)?, &host, &cancel)? {
        context.printer.line(format!("Removing login credentials for {}", host.key()))?;
    } else {
        context.printer.note(format!("Not logged in to {}", host.key()));
    }
    Ok(0)
}

fn file(network: &network::Args) -> Outcome<PathBuf> {
    network.login_file().ok_or_else(|| {
        Failure::new(Kind::Invalid, "there is no place for credentials: HOME is not set")
            .hint("name a file with --authfile")
    })
}

fn from_stdin() -> Outcome<String> {
    let mut text = String::new();
    io::stdin()
        .take(MAX_PASSWORD)
        .read_to_string(&mut text)
        .map_err(|error| Failure::new(Kind::Io, format!("cannot read the password: {error}")))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// Asks on the terminal; what is typed is shown, or not.
fn ask(question: &str, shown: bool) -> Outcome<String> {
    let failed = |error: io::Error| Failure::new(Kind::Io, format!("cannot ask on the terminal: {error}"));
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::new(Kind::Invalid, "there is no terminal to ask on")
            .hint("give the user with -u, and the password on standard input with --password-stdin"));
    }
    let mut stderr = io::stderr().lock();
    stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush()).map_err(failed)?;
    let hidden = if shown { None } else { Some(Hidden::begin().map_err(failed)?) };
    let mut line = String::new();
    stdin.read_line(&mut line).map_err(failed)?;
    if hidden.is_some() {
        stderr.write_all(b"\n").map_err(failed)?;
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// While this lives, the terminal does not show what is typed.
struct Hidden(rustix::termios::Termios);

impl Hidden {
    fn begin() -> io::Result<Self> {
        let before = rustix::termios::tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(rustix::termios::LocalModes::ECHO);
        rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that has gone shows nothing anyway.
        let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Flush, &self.0);
    }
}
