//! How visitors come to the server: over IPv4 or IPv6, each with an address of their own or all behind one, from near or far,
//! over a fast line or a slow one.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::clients::connect_from;
use crate::middle::{self, Rules};
use crate::road::{Distant, Length, distant_for};
use crate::topology::{Host, SERVER4, SERVER6, client_for};
use crate::{Netns, Result, wait};

/// The longest delay.
pub const DELAY_MAX: Duration = Duration::from_millis(500);
/// How long an answer may take beside the road.
const ANSWER: Duration = Duration::from_millis(500);

/// How visitors come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Way {
    /// Over IPv6, and so does the flood.
    pub v6: bool,
    /// Behind a NAT router: the server sees all of them as one address.
    pub behind_nat: bool,
    /// How long each of their frames is under way, up to [`DELAY_MAX`]; zero is none.
    pub delay: Duration,
    /// Bytes a second that their road carries, in each direction; `None` is as many as come.
    pub speed: Option<u64>,
}

impl Way {
    /// The server's address.
    pub fn server(&self) -> IpAddr {
        if self.v6 { SERVER6 } else { SERVER4 }
    }

    /// Builds it. What is left of the way goes when this is dropped.
    pub(super) fn build(self, host: &Host) -> Result<Visitors> {
        let delay = self.delay.min(DELAY_MAX);
        let length = Length { delay, rate: self.speed };
        let is_near = delay.is_zero() && self.speed.is_none();
        let distant = if is_near { None } else { Some(Distant::new(host, length)?) };
        // Its own address on the server's link is the one that all visitors then have.
        let nat = if self.behind_nat { Some(middle::nat(&host.router, "server")?) } else { None };
        let namespace = distant.as_ref().map_or(&host.client, |distant| &distant.client).clone();
        let visitors = Visitors { namespace, way: self, distant, _nat: nat };
        visitors.settle()?;
        Ok(visitors)
    }
}

/// Where visitors are.
pub(super) struct Visitors {
    /// Their namespace.
    pub namespace: Netns,
    way: Way,
    distant: Option<Distant>,
    _nat: Option<Rules>,
}

impl Visitors {
    /// The address of visitor number `n`.
    pub fn address(&self, n: usize) -> IpAddr {
        let server = self.way.server();
        if self.distant.is_some() { distant_for(server, n) } else { client_for(server, n) }
    }

    /// Waits until the server answers them. Port 1 has no listener, so the answer is RST.
    fn settle(&self) -> Result<()> {
        let target = SocketAddr::new(self.way.server(), 1);
        let answered = || connect_from(Some(self.address(0)), target, 2 * self.way.delay + ANSWER);
        wait::until("the visitors' way to the server", wait::PATIENCE, || {
            let tried = self.namespace.run(answered);
            tried.is_ok_and(|tried| tried.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused))
        })
    }
}
