//! Where the line is drawn, each with its reason. A healthy busy host must stay below all of them.

/// Fewer SYNs than these are no flood worth a name: a scan of a few hosts, a browser with bad luck.
pub const FLOOD_SYNS: f64 = 200.0;
/// This share of SYNs never completed makes a flood. On healthy hosts it is a few hundredths: scans, clients that went away.
pub const FLOOD_SHARE: f64 = 0.5;
/// This share leaves nothing else.
pub const FLOOD_SHARE_CERTAIN: f64 = 0.8;
/// So many SYNs leave nothing else, together with the share.
pub const FLOOD_SYNS_CERTAIN: f64 = 1000.0;
/// Cookies of which less than this share came back went to nobody. Of real clients' more than nine of ten come back.
pub const COOKIES_LOST: f64 = 0.2;
/// Cookies of which at least this share came back went to real clients.
pub const COOKIES_REAL: f64 = 0.5;
/// Fewer cookies than these say nothing.
pub const COOKIES_MIN: f64 = 20.0;
/// In a shorter look, in milliseconds, clients whose cookie is still under way look like a flood.
pub const LOOK_SHORT_MS: f64 = 2000.0;
/// A trouble that has lasted for so many seconds at its present rate: longer than any round trip, and not so long that it was another one.
pub const EPISODE_SECONDS: std::ops::RangeInclusive<f64> = 2.0..=600.0;
/// Real clients' SYNs, when nobody answers, come again at least once within seconds; spoofed ones never do. Of unanswered SYNs this share sent
/// again speaks for real clients.
pub const SENT_AGAIN_REAL: f64 = 0.5;
/// A half-open connection that nobody answers sends its SYN-ACK again five times in 63 s: so many each second, at least half of that.
pub const AGAIN_PER_HALF_OPEN: f64 = 0.04;
/// Half-open connections that are few are no sign of anything.
pub const HALF_OPEN_MIN: u64 = 48;
/// More than so much of the usual is a rise.
pub const RISE: f64 = 3.0;
/// Segments rise by more before they are a sign by themselves: a download already multiplies them.
pub const SEGMENTS_RISE: f64 = 5.0;
/// Segments a second below this are no flood.
pub const SEGMENTS_MIN: f64 = 500.0;
/// Segments that one small connection needs, received: SYN, ACK, a few of data, FIN; generously.
pub const SEGMENTS_PER_CONNECTION: f64 = 25.0;
/// A bare SYN is 54 to 78 bytes with its Ethernet header; a mean above this is no flood of them.
pub const SMALL_IN_BYTES: f64 = 100.0;
/// What is answered to a flood is as small; with the answers of a busy web site among it the mean is below this.
pub const SMALL_OUT_BYTES: f64 = 400.0;
/// What is bare SYNs, SYN-ACKs or ACKs alone has a mean below this; a chat has words in its packets.
pub const BARE_BYTES: f64 = 80.0;
/// Completed connections a second that are worth to be called a rush.
pub const RUSH_RATE: f64 = 20.0;
/// Requests a minute that are worth to be called a rush.
pub const RUSH_REQUESTS: u64 = 60;
/// Requests for each completed connection that show that clients are real; with kept connections there are more than one.
pub const REQUESTS_PER_CONNECTION: f64 = 0.5;
/// The round trip that is assumed when none was measured, in milliseconds: far clients.
pub const ROUND_TRIP_MS: u64 = 300;
/// Handshakes turned away by a full accept queue; fewer are a hiccup.
pub const OVERFLOWS_MIN: f64 = 10.0;
/// Connections waiting in a full accept queue; a queue for five is full too soon to mean anything.
pub const WAITING_MIN: u32 = 16;
/// Memory for everything but the workers, as a share of all, where it was not measured: kernel, database, mail.
pub const MEMORY_OTHERS: f64 = 0.15;
/// Where it was measured, this share stays free: files want to be cached.
pub const MEMORY_FREE: f64 = 0.05;
/// Less memory available than this share of all is shortage.
pub const MEMORY_LOW: f64 = 0.05;
/// Pages swapped in or out in a second; cold pages that went once are no harm.
pub const SWAP_PAGES: f64 = 100.0;
/// Time in which everything waits for memory, of 100: the machine stands still for this part.
pub const PRESSURE_FULL: f64 = 10.0;
/// Load for each CPU that is far from busy and near to stuck.
pub const LOAD_PER_CPU: f64 = 8.0;
/// Connections without a byte; browsers open a few ahead of need.
pub const SILENT_MIN: u64 = 30;
/// And their share of all established.
pub const SILENT_SHARE: f64 = 0.5;
/// Requests that timed out, and their share: browsers' unused connections are a few of a hundred.
pub const TIMEOUTS_MIN: u64 = 50;
/// See [`TIMEOUTS_MIN`].
pub const TIMEOUTS_SHARE: f64 = 0.3;
/// Answers of a bad sort within a minute; at night one of two is nothing.
pub const BAD_A_MINUTE: u64 = 8;
/// Silent or stalled connections as many as this part of a server's workers hold them.
pub const WORKERS_HELD: f64 = 0.5;
/// Connections to web servers for each request that are too many.
pub const CONNECTIONS_PER_REQUEST: f64 = 5.0;
/// Of all connections, those within the host among them: a request that asks a cache, a database and a backend makes five by itself.
pub const ALL_CONNECTIONS_PER_REQUEST: f64 = 20.0;
/// Connections with a closed window; a phone that lost its net is one.
pub const STALLED_MIN: u64 = 20;
/// And their share of all established.
pub const STALLED_SHARE: f64 = 0.2;
/// Zero windows of a capture, and their share of its TCP segments: in usual traffic there is not one in a thousand.
pub const ZERO_WINDOWS_MIN: u64 = 100;
/// See [`ZERO_WINDOWS_MIN`].
pub const ZERO_WINDOWS_SHARE: f64 = 0.02;
/// A table this full turns connections away soon.
pub const TABLE_FULL: f64 = 0.95;
/// A table this full is a risk.
pub const TABLE_NEARLY: f64 = 0.8;
/// Packets lost a second before sockets see them; fewer are bursts that TCP mends.
pub const PACKETS_LOST: f64 = 100.0;
/// Soft interrupts on one CPU, of 100: it does nothing else.
pub const SOFTIRQ_FULL: f64 = 95.0;
/// Rounds a second that ended with packets left.
pub const SQUEEZED: f64 = 20.0;
/// Use of an interface's speed, of 100.
pub const INTERFACE_FULL: f64 = 95.0;
/// SYN-ACKs nobody asked for; a capture that begins in the middle has a few.
pub const UNASKED_MIN: u64 = 200;
/// And their share of TCP packets.
pub const UNASKED_SHARE: f64 = 0.3;
/// Resets a second; a scan of closed ports is below.
pub const RESETS_MIN: f64 = 500.0;
/// And their share of the segments received.
pub const RESETS_SHARE: f64 = 0.5;
/// The share of half-open connections from servers' ports: client ports are above 1023, so a few of a thousand by chance.
pub const SERVICE_PORTS_SHARE: f64 = 0.5;
/// Connections at this part of a limit's rate are held down by it.
pub const LIMIT_REACHED: f64 = 0.9;
/// No kernel's default `tcp_max_syn_backlog` is as large (4096 at most, `inet_hash2`'s size / 128): somebody set it.
pub const SYN_BACKLOG_HUGE: u64 = 8192;
/// The kernel's default; more was set by somebody.
pub const RETRIES_DEFAULT: u64 = 5;
/// What is proposed instead while floods come.
pub const RETRIES_WANTED: u64 = 3;
/// Of a live record, messages of the last ten minutes are about now.
pub const RECENT_MS: i64 = 600_000;
/// Fewer values have no quartile worth the name.
pub const USUAL_VALUES: usize = 5;
/// Clocks that differ by less are good enough for minutes, in seconds.
pub const CLOCK_SECONDS: i64 = 30;
