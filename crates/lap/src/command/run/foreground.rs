//! In the foreground: signals go to the container, and with a terminal what is typed and shown passes through.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use base::{Cancel, Kind};
use engine::run::Container;
use sandbox::Running;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::{Handle, Signals};

use super::terminal;
use crate::failure::{Failure, Outcome};

/// Waits for the end of the container, and gives its exit code.
pub fn wait(mut container: Container, interactive: bool) -> Outcome<u8> {
    let terminal = container.running().terminal()?;
    let raw = terminal.as_ref().and_then(|_| terminal::Raw::enter());
    let copier = terminal.as_ref().map(|master| pass_through(master, interactive)).transpose()?;
    let (signals, forwarder) = {
        let signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH])
            .map_err(|error| Failure::new(Kind::Internal, format!("cannot handle signals: {error}")))?;
        (signals.handle(), signals)
    };
    let exit = std::thread::scope(|scope| {
        let running: &Running = container.running();
        scope.spawn(move || forward(running, forwarder));
        let exit = running.wait(&Cancel::new(), Duration::ZERO);
        Handle::close(&signals);
        exit
    });
    if let Some(copier) = copier {
        // It ends with the terminal; a panic in it has been reported already.
        let _ = copier.join();
    }
    drop(raw);
    let exit = exit?;
    Ok(u8::try_from(exit.status.exit_code()).unwrap_or(u8::MAX))
}

/// Sends every signal on; a change of the window's size becomes one of the container's terminal.
fn forward(running: &Running, mut signals: Signals) {
    for signal in signals.forever() {
        // The process may have ended in the meantime; its end is what counts then.
        let _ = match signal {
            SIGWINCH => running.resize(terminal::size()),
            SIGCHLD | SIGPIPE => Ok(()),
            signal => running.signal(signal),
        };
    }
}

fn pass_through(master: &File, interactive: bool) -> Outcome<std::thread::JoinHandle<()>> {
    let clone = || {
        master
            .try_clone()
            .map(Arc::new)
            .map_err(|error| Failure::new(Kind::Io, format!("cannot use the terminal: {error}")))
    };
    let (reader, writer) = (clone()?, clone()?);
    if interactive {
        // Ends with the process: nothing interrupts a read from standard input.
        std::thread::spawn(move || copy(&mut io::stdin().lock(), &mut &*writer));
    }
    Ok(std::thread::spawn(move || copy(&mut &*reader, &mut io::stdout().lock())))
}

/// Copies until either side ends; EIO is how a terminal says that nobody is left on the other side.
fn copy(from: &mut dyn Read, to: &mut dyn Write) {
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}
