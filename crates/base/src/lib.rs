//! What every crate of Lapstrake shares: cancellation, progress events, kinds of errors, findings of a diagnosis, ids of users.
//!
//! Nothing here does I/O, and nothing here knows what an image is.

pub mod cancel;
pub mod error;
pub mod events;
pub mod finding;
pub mod ids;
pub mod sizes;
pub mod task;
pub mod text;

pub use cancel::{Cancel, Cancellable, Cancelled};
pub use error::{Classified, IoContext, IoError, Kind};
pub use events::{Event, Events, Sink};
pub use finding::{Finding, State};
pub use ids::{IdMap, IdRange};
