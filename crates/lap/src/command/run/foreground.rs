//! In the foreground: signals go to the container, and with a terminal what is typed and shown passes through.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base::{Cancel, Kind};
use engine::run::Container;
use sandbox::Exit;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::Signals;

use super::terminal;
use crate::failure::{Failure, Outcome};

/// Starts a container, waits for its end, and says how it ended.
///
/// Signals are handled before anything is started: one that comes while the container is prepared stops that, a later one goes to the command.
pub fn run(interactive: bool, start: impl FnOnce(&Cancel) -> Outcome<Container>) -> Outcome<Exit> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH])
        .map_err(|error| Failure::new(Kind::Internal, format!("cannot handle signals: {error}")))?;
    let handle = signals.handle();
    let (cancel, started) = (Cancel::new(), OnceLock::new());
    std::thread::scope(|scope| {
        scope.spawn(|| deliver(&mut signals, &started, &cancel));
        let ended = start(&cancel)
            .and_then(|container| attend(started.get_or_init(|| container), &cancel, interactive));
        handle.close();
        ended
    })
}

fn attend(container: &Container, cancel: &Cancel, interactive: bool) -> Outcome<Exit> {
    let running = container.running();
    if cancel.is_cancelled() {
        // The signal came when there was nothing left to stop, and nobody yet to send it to.
        running.signal(SIGTERM)?;
    }
    let terminal = running.terminal()?;
    let raw = terminal.as_ref().and_then(|_| terminal::Raw::enter());
    let copier = terminal.as_ref().map(|master| pass_through(master, interactive)).transpose()?;
    let exit = running.wait(&Cancel::new(), Duration::ZERO);
    if let Some(copier) = copier {
        // It ends with the terminal; a panic in it has been reported already.
        let _ = copier.join();
    }
    drop(raw);
    Ok(exit?)
}

/// Sends every signal on; a change of the window's size becomes one of the container's terminal.
fn deliver(signals: &mut Signals, started: &OnceLock<Container>, cancel: &Cancel) {
    for signal in signals.forever() {
        // The process may have ended in the meantime; its end is what counts then.
        let _ = match (started.get().map(Container::running), signal) {
            (Some(running), SIGWINCH) => running.resize(terminal::size()),
            (Some(running), signal) => running.signal(signal),
            (None, SIGWINCH) => Ok(()),
            (None, _) => {
                cancel.cancel();
                Ok(())
            }
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
