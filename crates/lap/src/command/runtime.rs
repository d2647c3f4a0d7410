//! `--runtime`: what makes the containers.

use sandbox::{Runner, Runtime};

use crate::environment;
use crate::failure::Outcome;

/// Flags of commands that run containers.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Let an installed OCI runtime (runc, crun, or the path of one) make the containers' processes
    #[arg(long, value_name = "NAME|PATH", env = environment::RUNTIME, hide_env_values = true)]
    runtime: Option<String>,
}

impl Args {
    /// This program, with the runtime that was asked for.
    pub fn runner(&self) -> Outcome<Runner> {
        let asked = self.runtime.as_deref().filter(|asked| !asked.is_empty());
        let search = std::env::var_os("PATH").unwrap_or_default();
        let runtime = asked.map(|asked| Runtime::find(asked, &search)).transpose()?;
        Ok(Runner { runtime, ..Runner::default() })
    }
}
