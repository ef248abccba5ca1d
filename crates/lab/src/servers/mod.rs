//! Servers with configurations of their own, in temporary folders, ended with everything they started when dropped.
//!
//! [`Nginx`], [`Sshd`] and [`Postfix`] are Debian's packages as they are; [`Tiny`] is a few threads of this process. Each one listens
//! by the time its constructor returns.

mod nginx;
mod postfix;
mod process;
mod sshd;
mod tiny;

pub use nginx::Nginx;
/// What nginx serves.
pub mod nginx_files {
    pub use super::nginx::{LARGE, large, page};
}
pub use postfix::Postfix;
pub use process::Process;
pub use sshd::Sshd;
pub use tiny::{Talk, Tiny};
