//! Plans as tables: a Dockerfile and arguments → steps, config, history, errors. No store, no I/O.

mod config;
mod errors;
mod lints;
mod mounts;
mod stages;
mod variables;

use std::collections::BTreeMap;

use image::{Config, Digest, ImageId};

use super::*;
use crate::request::DockerfileText;
use crate::session::LocalContext;

/// Images and contexts that there are.
#[derive(Default)]
struct World {
    images: BTreeMap<String, Config>,
    /// Whether there is a main context.
    has_context: bool,
    contexts: BTreeMap<String, BuildContext>,
    /// The ignore file of the main context.
    ignore: &'static str,
}

impl World {
    /// With a main context, and one image: `debian`, with a shell's environment.
    fn usual() -> Self {
        let mut config =
            Config { architecture: "amd64".to_owned(), os: "linux".to_owned(), ..Config::default() };
        config.config.env = vec!["PATH=/bin".to_owned(), "BASE=1".to_owned()];
        config.config.cmd = Some(vec!["bash".to_owned()]);
        Self::default().with("debian", config)
    }

    fn with(mut self, name: &str, config: Config) -> Self {
        self.images.insert(name.to_owned(), config);
        self.has_context = true;
        self
    }
}

impl Resolver for World {
    fn image(&self, name: &str, platform: &Platform) -> Result<Option<BaseImage>, ResolverError> {
        let config = self.images.get(name).cloned();
        let id = ImageId(Digest::sha256(name.as_bytes()));
        let platform = platform.clone();
        Ok(config.map(|config| BaseImage { name: name.to_owned(), platform, id, config }))
    }

    fn image_names(&self) -> Result<Vec<String>, ResolverError> {
        Ok(self.images.keys().cloned().collect())
    }

    fn has_main_context(&self) -> Result<bool, NotBrought> {
        Ok(self.has_context)
    }

    fn context(&self, name: &str, _platform: &Platform) -> Result<Option<BuildContext>, NotBrought> {
        Ok(self.contexts.get(name).cloned())
    }

    fn is_ignored(&self, path: &str) -> bool {
        let ignore = dockerfile::ignore::IgnoreFile::parse(self.ignore.as_bytes());
        ignore.expect("an ignore file").leaves_out(path)
    }
}

fn request(text: &str) -> Request {
    let dockerfile = DockerfileText { name: "Dockerfile".to_owned(), bytes: text.as_bytes().to_vec() };
    let platform = image::Platform::new("linux", "amd64", None);
    Request { platforms: vec![platform.clone()], build_platform: platform, ..Request::new(dockerfile) }
}

fn with_arguments(text: &str, arguments: &[(&str, &str)]) -> Request {
    let build_args =
        arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Request { build_args, ..request(text) }
}

fn planned(request: &Request) -> Plan {
    match plan(request, &World::usual()) {
        Ok(plan) => plan,
        Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&request.dockerfile.bytes)),
    }
}

/// The target of a plan.
fn target_of(text: &str) -> Stage {
    let plan = planned(&request(text));
    plan.stages[plan.targets[0].stage].clone()
}

fn history_of(stage: &Stage) -> Vec<&str> {
    stage.history.iter().map(|entry| entry.created_by.as_str()).collect()
}

fn names_of(plan: &Plan) -> Vec<&str> {
    let steps = plan.stages.iter().flat_map(|stage| &stage.steps);
    steps.map(|step| step.name.as_str()).collect()
}
