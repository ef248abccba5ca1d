//! Who speaks first: the server (it sends a greeting and the client waits for it) or the client.
//!
//! It matters for one reason. With a SYN cookie the server remembers nothing, so if the client's last ACK is lost, only the
//! client's next segment can make the connection. A client that waits for a greeting sends none: it hangs. So where the
//! server speaks first, unproven sources get a challenge instead.
//!
//! [`resolve`] asks, in this order: the configuration, the table of well-known ports ([`WELL_KNOWN`]), what was seen on the
//! port's connections ([`judge`]); else the client is taken to speak first, as in most protocols.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Who sends the first data on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The server sends a greeting.
    Server,
    /// The client sends a request.
    Client,
}

impl Speaker {
    /// The word used in the configuration and in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// How it is known who speaks first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpeakerSource {
    /// The configuration says so.
    Configured,
    /// It is a well-known port.
    Table,
    /// It was seen on the port's connections.
    Learnt,
    /// Nothing is known: the client, as in most protocols.
    Default,
}

impl SpeakerSource {
    /// The word used in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Table => "table",
            Self::Learnt => "learnt",
            Self::Default => "default",
        }
    }
}

/// One well-known port.
#[derive(Debug, Clone, Copy)]
pub struct WellKnown {
    /// The TCP port.
    pub port: u16,
    /// Who speaks first there.
    pub speaker: Speaker,
    /// The protocol's name.
    pub protocol: &'static str,
    /// Where that is written.
    pub source: &'static str,
}

const fn server(port: u16, protocol: &'static str, source: &'static str) -> WellKnown {
    WellKnown { port, speaker: Speaker::Server, protocol, source }
}

const fn client(port: u16, protocol: &'static str, source: &'static str) -> WellKnown {
    WellKnown { port, speaker: Speaker::Client, protocol, source }
}

/// The well-known ports, in ascending order.
///
/// A protocol that greets speaks client-first inside *implicit* TLS, because the first bytes on the wire are the client's
/// ClientHello (RFC 8446, section 4.1.2), whatever comes afterwards inside. With STARTTLS the greeting is still in the clear and first.
pub const WELL_KNOWN: &[WellKnown] = &[
    server(13, "daytime", "RFC 867: the time is sent once a connection is established"),
    server(17, "qotd", "RFC 865: a message is sent once a connection is established"),
    server(19, "chargen", "RFC 864: data is sent once a connection is established"),
    server(21, "FTP", "RFC 959, section 5.4: 220 greeting on connection"),
    server(22, "SSH", "RFC 4253, section 4.2: both send an identification string; a client may wait for the server's"),
    server(23, "Telnet", "RFC 854: negotiation and login prompt by the server"),
    server(24, "LMTP", "RFC 2033, section 4: 220 greeting as in SMTP"),
    server(25, "SMTP", "RFC 5321, section 3.1: 220 greeting; the client waits for it"),
    server(37, "time", "RFC 868: the server sends the time and closes"),
    client(43, "whois", "RFC 3912, section 2: the client sends its query"),
    client(53, "DNS", "RFC 7766: the client sends its query"),
    client(79, "finger", "RFC 1288, section 2.1: the client sends its query"),
    client(80, "HTTP", "RFC 9112, section 2: the client sends its request"),
    client(88, "Kerberos", "RFC 4120, section 7.2.2: the client sends its request"),
    server(110, "POP3", "RFC 1939, section 3: the server issues a one line greeting"),
    client(113, "ident", "RFC 1413, section 3: the client sends its query"),
    server(119, "NNTP", "RFC 3977, section 5.1: the server presents a greeting"),
    server(143, "IMAP", "RFC 9051, section 7.1: untagged greeting on connection"),
    client(389, "LDAP", "RFC 4511, section 5.2: the client sends its request"),
    client(443, "HTTPS", "RFC 8446, section 4.1.2: ClientHello"),
    client(445, "SMB", "[MS-SMB2], section 3.2.4.2: the client sends NEGOTIATE"),
    client(465, "submissions", "RFC 8314, section 3.3: implicit TLS, so ClientHello"),
    client(563, "NNTPS", "RFC 8143, section 2: implicit TLS, so ClientHello"),
    server(587, "submission", "RFC 6409, section 3: SMTP, so 220 greeting (STARTTLS comes after it)"),
    client(631, "IPP", "RFC 8010, section 4: over HTTP"),
    client(636, "LDAPS", "RFC 8446, section 4.1.2: ClientHello"),
    client(853, "DNS over TLS", "RFC 7858, section 3.1: ClientHello"),
    client(990, "FTPS", "RFC 8446, section 4.1.2: implicit TLS, so ClientHello"),
    client(993, "IMAPS", "RFC 8314, section 3.2: implicit TLS, so ClientHello"),
    client(995, "POP3S", "RFC 8314, section 3.1: implicit TLS, so ClientHello"),
    client(1433, "SQL Server", "[MS-TDS], section 2.2.6.5: the client sends PRELOGIN"),
    client(1883, "MQTT", "MQTT 5.0, section 3.1: the first packet is the client's CONNECT"),
    server(3306, "MySQL", "MySQL protocol, connection phase: the server sends Protocol::Handshake"),
    client(3389, "RDP", "[MS-RDPBCGR], section 1.3.1.1: the client sends X.224 Connection Request"),
    server(4190, "ManageSieve", "RFC 5804, section 1.7: capabilities are the greeting"),
    client(5222, "XMPP", "RFC 6120, section 4.2: the initiating entity sends the stream header"),
    client(5223, "XMPP over TLS", "XEP-0368: implicit TLS, so ClientHello"),
    client(5269, "XMPP servers", "RFC 6120, section 4.2: the initiating entity sends the stream header"),
    client(5432, "PostgreSQL", "PostgreSQL protocol 3.0, start-up: the client sends SSLRequest or StartupMessage"),
    server(5900, "VNC", "RFC 6143, section 7.1.1: the server sends ProtocolVersion"),
    client(6379, "Redis", "RESP: the client sends a command"),
    client(6667, "IRC", "RFC 2812, section 3.1: the client registers (some servers send notices meanwhile)"),
    client(6697, "IRC over TLS", "RFC 7194, section 2.4: ClientHello"),
    client(8080, "HTTP", "RFC 9112, section 2: the client sends its request"),
    client(8443, "HTTPS", "RFC 8446, section 4.1.2: ClientHello"),
    client(8883, "MQTT over TLS", "RFC 8446, section 4.1.2: ClientHello"),
    client(11211, "memcached", "memcached protocol: the client sends a command"),
    client(27017, "MongoDB", "MongoDB wire protocol: the client sends OP_MSG or OP_QUERY"),
];

/// The entry of [`WELL_KNOWN`] for `port`.
pub fn well_known(port: u16) -> Option<&'static WellKnown> {
    WELL_KNOWN.binary_search_by_key(&port, |entry| entry.port).ok().map(|index| &WELL_KNOWN[index])
}

/// Who speaks first on `port`, and how that is known.
pub fn resolve(port: u16, configured: Option<Speaker>, learnt: Option<Speaker>) -> (Speaker, SpeakerSource) {
    let table = well_known(port).map(|entry| entry.speaker);
    None.or(configured.map(|speaker| (speaker, SpeakerSource::Configured)))
        .or(table.map(|speaker| (speaker, SpeakerSource::Table)))
        .or(learnt.map(|speaker| (speaker, SpeakerSource::Learnt)))
        .unwrap_or((Speaker::Client, SpeakerSource::Default))
}

/// How often each side was seen to send the first data on a port's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Connections on which the server did.
    pub server: u32,
    /// Connections on which the client did.
    pub client: u32,
}

impl Sample {
    /// Both samples together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { server: self.server.saturating_add(other.server), client: self.client.saturating_add(other.client) }
    }
}

/// So many connections must have been seen before anything is concluded from them.
pub const SAMPLES_MIN: u64 = 8;
/// So many of a hundred must agree.
pub const AGREEMENT_PERCENT: u64 = 90;

/// What a sample shows: `None` while it is too small or undecided.
pub fn judge(sample: Sample) -> Option<Speaker> {
    let (server, client) = (u64::from(sample.server), u64::from(sample.client));
    let total = server + client;
    if total < SAMPLES_MIN {
        None
    } else if server * 100 >= total * AGREEMENT_PERCENT {
        Some(Speaker::Server)
    } else if client * 100 >= total * AGREEMENT_PERCENT {
        Some(Speaker::Client)
    } else {
        None
    }
}

/// What the samples of all ports show.
pub fn learn(samples: &BTreeMap<u16, Sample>) -> BTreeMap<u16, Speaker> {
    samples.iter().filter_map(|(port, sample)| Some((*port, judge(*sample)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_names_each_port_once() {
        assert!(WELL_KNOWN.windows(2).all(|pair| pair[0].port < pair[1].port));
    }

    #[test]
    fn implicit_tls_speaks_client_first_and_the_greeting_protocols_do_not() {
        for port in [443, 465, 563, 636, 853, 990, 993, 995, 5223, 8443] {
            assert_eq!(well_known(port).unwrap().speaker, Speaker::Client, "port {port}");
        }
        for port in [21, 22, 23, 25, 110, 119, 143, 587, 3306] {
            assert_eq!(well_known(port).unwrap().speaker, Speaker::Server, "port {port}");
        }
        for port in [80, 5222, 5269, 5432, 6379, 6667, 8080, 11211, 1883] {
            assert_eq!(well_known(port).unwrap().speaker, Speaker::Client, "port {port}");
        }
    }

    #[test]
    fn few_or_mixed_samples_show_nothing() {
        assert_eq!(judge(Sample { server: 7, client: 0 }), None);
        assert_eq!(judge(Sample { server: 8, client: 0 }), Some(Speaker::Server));
        assert_eq!(judge(Sample { server: 0, client: 8 }), Some(Speaker::Client));
        assert_eq!(judge(Sample { server: 9, client: 1 }), Some(Speaker::Server));
        assert_eq!(judge(Sample { server: 17, client: 2 }), None);
        assert_eq!(judge(Sample { server: u32::MAX, client: u32::MAX }), None);
    }

    #[test]
    fn the_configuration_goes_before_the_table_and_the_table_before_what_was_seen() {
        let all = resolve(25, Some(Speaker::Client), Some(Speaker::Server));
        assert_eq!(all, (Speaker::Client, SpeakerSource::Configured));
        assert_eq!(resolve(25, None, Some(Speaker::Client)), (Speaker::Server, SpeakerSource::Table));
        assert_eq!(resolve(4711, None, Some(Speaker::Server)), (Speaker::Server, SpeakerSource::Learnt));
        assert_eq!(resolve(4711, None, None), (Speaker::Client, SpeakerSource::Default));
    }
}
