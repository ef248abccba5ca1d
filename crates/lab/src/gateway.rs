//! A gateway in front of the server: what [`Host`] calls the server forwards, and the server itself is one link further.
//!
//! ```text
//!   router ----- eth0  gateway  inside ----- eth0  backend
//!                198.51.100.2                198.51.100.10
//! ```
//!
//! Nothing changes for clients and attackers: the flood lands in the receive ring of the gateway's eth0.

use crate::topology::{self, DEVICE, Host, SERVER4, SERVER6};
use crate::{Netns, Result};

const MAC_INSIDE: [u8; 6] = [2, 0, 0, 0, 0, 0x20];
const MAC_BACKEND: [u8; 6] = [2, 0, 0, 0, 0, 0x21];

/// Makes the host's server a gateway, and returns the server behind it.
pub(crate) fn put_behind(host: &Host) -> Result<Netns> {
    let backend = Netns::new("backend")?;
    let gateway = &host.server;
    topology::join(gateway, "inside", MAC_INSIDE, &backend, MAC_BACKEND)?;
    for (key, value) in [("net.ipv4.ip_forward", "1"), ("net.ipv6.conf.all.forwarding", "1")] {
        gateway.sysctl(key, value)?;
    }
    let (inside, server) = (topology::mac(MAC_INSIDE), topology::mac(MAC_BACKEND));
    gateway.ip(&format!(
        "addr del {SERVER4}/24 dev {DEVICE}\naddr del {SERVER6}/64 dev {DEVICE}\n\
         addr add 198.51.100.2/24 dev {DEVICE}\naddr add 2001:db8:51::2/64 dev {DEVICE} nodad\n\
         route replace {SERVER4}/32 dev inside\nroute replace {SERVER6}/128 dev inside\n\
         neigh replace {SERVER4} lladdr {server} nud permanent dev inside\n\
         neigh replace {SERVER6} lladdr {server} nud permanent dev inside\n{}",
        routes("198.51.100.1", "2001:db8:51::1", DEVICE)
    ))?;
    backend.ip(&format!(
        "addr add {SERVER4}/32 dev {DEVICE}\naddr add {SERVER6}/128 dev {DEVICE} nodad\n\
         route replace 198.51.100.2/32 dev {DEVICE}\nroute replace 2001:db8:51::2/128 dev {DEVICE}\n\
         neigh replace 198.51.100.2 lladdr {inside} nud permanent dev {DEVICE}\n\
         neigh replace 2001:db8:51::2 lladdr {inside} nud permanent dev {DEVICE}\n{}",
        routes("198.51.100.2", "2001:db8:51::2", DEVICE)
    ))?;
    Ok(backend)
}

/// The ways back to clients and attackers.
fn routes(via4: &str, via6: &str, device: &str) -> String {
    let (spoofed4, spoofed6) = (topology::spoofed4(), topology::spoofed6());
    format!(
        "route replace 203.0.113.0/24 via {via4} dev {device} onlink\nroute replace {spoofed4} via {via4} dev {device} onlink\n\
         route replace 2001:db8:c::/64 via {via6} dev {device} onlink\n\
         route replace {spoofed6} via {via6} dev {device} onlink"
    )
}
