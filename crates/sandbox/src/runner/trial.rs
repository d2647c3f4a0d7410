//! What a probe does as the runner does it.

use std::os::fd::{AsFd, OwnedFd};

use rustix::mount::MountAttrFlags;

use super::overlay::{self, Layers, Upper};
use super::scaffold::Scaffold;
use crate::error::Error;

/// The runner's memory, mounted in the mount namespace of this thread, which is a new one.
pub(crate) struct Trial(Scaffold);

impl Trial {
    pub(crate) fn new() -> Result<Self, Error> {
        Scaffold::new().map(Self)
    }

    /// Mounts an overlay, detached.
    pub(crate) fn overlay(
        &self,
        lower: &OwnedFd,
        upper: &OwnedFd,
        work: &OwnedFd,
        user_attributes: bool,
        attributes: MountAttrFlags,
    ) -> Result<OwnedFd, Error> {
        let upper = Upper { upper: upper.as_fd(), work: work.as_fd(), volatile: true };
        let layers = Layers { lowers: vec![lower.as_fd()], upper: Some(upper), user_attributes };
        overlay::make(&layers, attributes, &self.0)
    }
}
