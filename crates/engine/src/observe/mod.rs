//! What is: facts about this host, read from the kernel into plain values.
//!
//! - [`netlink`]: the little of netlink that the others need;
//! - [`listeners`]: listening sockets and their queues (sock_diag); [`links`]: interfaces (rtnetlink), [`ethtool`]: their
//!   offloads; [`routes`]: the default route; [`addresses`]: its own addresses;
//! - [`sysctl`]: settings under /proc/sys/net; [`firewall`]: what nftables and iptables do to handshakes they have not seen;
//! - [`applications`]: who listens, and the backlog each configures; [`settings`]: all that `sekisho plan` judges by;
//! - [`sessions`]: who is logged in over SSH;
//! - [`record`]: all of the above over time, live or from files, as `doctor` and `explain` judge it.
//!
//! Everything is about the network namespace of the calling thread.

pub mod addresses;
pub mod applications;
pub mod ethtool;
pub mod firewall;
pub mod links;
pub mod listeners;
pub mod netlink;
pub mod record;
pub mod routes;
pub mod sessions;
pub mod settings;
pub mod sysctl;
