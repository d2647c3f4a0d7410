//! Rights on a registry, as token servers call them (RC-025).

/// The right to list all repositories.
pub(crate) const CATALOG: &str = "registry:catalog:*";

/// The right to do something with a repository.
pub(crate) fn scope(repository: &str, actions: &str) -> String {
    format!("repository:{repository}:{actions}")
}
