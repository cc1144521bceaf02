//! Publish and subscribe: all members of a group receive every broadcast, each through a bounded queue of its own.
//!
//! There is no global registry: groups hang from a [`ProcessGroups`], which is passed on, and live in this process
//! alone.
//!
//! ```
//! use evenfold_groups::ProcessGroups;
//! use evenfold_groups::process::{GroupError, JoinOptions, LeaveReason};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), GroupError> {
//! let groups: ProcessGroups<String> = ProcessGroups::default();
//! let acme = groups.tenant("acme")?;
//! let orders = acme.create("orders", "shipped")?;
//! let mut printer = orders.join("printer", JoinOptions::default())?;
//! assert_eq!(orders.broadcast("4711".to_owned()).await?.accepted, 1);
//! acme.delete("orders", "shipped")?;
//! assert_eq!(printer.recv().await.as_deref(), Ok("4711"));
//! assert_eq!(printer.recv().await, Err(LeaveReason::Deleted));
//! # Ok(())
//! # }
//! ```

mod directory;
mod error;
mod forward;
mod group;
mod member;
mod roster;
mod seat;
mod watch;

pub use directory::{Limits, ProcessGroups, Tenant};
pub use error::{Deleted, GroupError, InvalidName, MAX_NAME, MAX_QUEUE};
pub use group::{Accepted, Group, GroupStats};
pub use member::Member;
pub use roster::Change;
pub use seat::{JoinOptions, LeaveReason, MemberStats, Slow};
pub use watch::Watch;
