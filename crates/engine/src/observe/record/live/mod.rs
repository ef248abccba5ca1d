//! The record of now: the running system, looked at once, with a short interval for the rates.
//!
//! - [`counters`]: the kernel's counters, twice, and the sample between;
//! - [`sockets`]: TCP sockets by state and source; [`host`]: the machine, its interfaces, connection tracking, listeners;
//! - [`limits`]: firewall rules that let only so much through; [`workers`]: web servers and what their workers take;
//! - [`messages`]: the kernel's log and the journal's last hour.
//!
//! What one may not see without root is told in [`Record::unseen`].

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Metric, Origin, Record, Sample, Source, Time, Why};

pub mod counters;
pub mod host;
pub mod limits;
pub mod messages;
pub mod sockets;
pub mod workers;

/// The present time.
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl Record {
    /// Looks at the running system, in the network namespace of the calling thread. Rates are of at least `interval`; the rest is looked at
    /// meanwhile.
    pub fn live(interval: Duration) -> Self {
        let mut record = Self::empty(Origin::Live);
        let begun = Instant::now();
        let before = counters::Counters::read();
        host::look(&mut record);
        sockets::look(&mut record);
        limits::look(&mut record);
        workers::look(&mut record);
        messages::look(&mut record);
        std::thread::sleep(interval.saturating_sub(begun.elapsed()));
        let after = counters::Counters::read();
        record.taken = Some(now());
        record.sample_between(&before, &after, begun.elapsed());
        record.sort();
        record
    }

    fn sample_between(&mut self, before: &counters::Counters, after: &counters::Counters, between: Duration) {
        let mut values = after.since(before, between);
        if let Some(sockets) = &self.sockets {
            values.insert(Metric::HalfOpen, sockets.half_open.total as f64);
        }
        let waiting: u64 = self.listeners.iter().map(|listener| u64::from(listener.accept_queue)).sum();
        values.insert(Metric::AcceptQueues, waiting as f64);
        if let Some(conntrack) = self.conntrack {
            values.insert(Metric::ConntrackEntries, conntrack.entries as f64);
        }
        if !values.contains_key(&Metric::PressureMemorySome) {
            self.unseen(Source::Pressure, Some("/proc/pressure/memory".into()), Why::NotSupported);
        }
        self.totals = after.totals();
        let interval_ms = u64::try_from(between.as_millis()).unwrap_or(u64::MAX);
        self.samples.push(Sample { at: now(), interval_ms, source: Source::Kernel, values });
    }
}

/// Whether this process may see everything: its effective user is root.
fn is_root() -> bool {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn this_machine_now() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let _clients: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(local).unwrap()).collect();
        let record = Record::live(Duration::from_millis(50));
        let found = record.listeners.iter().find(|listener| listener.local == local).unwrap();
        assert_eq!(found.accept_queue, 3);
        assert_eq!(found.process.as_ref().map(|process| process.pid), Some(std::process::id()));
        let sockets = record.sockets.as_ref().unwrap();
        assert!(sockets.established.by_port[&local.port()] >= 3, "{sockets:?}");
        assert!(sockets.silent.as_ref().unwrap().by_port[&local.port()] >= 3, "they have sent nothing");
        for metric in
            [Metric::PassiveOpens, Metric::ListenOverflows, Metric::Load1, Metric::MemoryAvailable, Metric::CpuIdle]
        {
            assert!(record.last(metric).is_some(), "{metric:?}");
        }
        assert!(record.totals[&Metric::PassiveOpens] >= 3.0);
        assert!(record.host.memory_bytes.unwrap() > 1 << 20 && record.host.cpus.unwrap() >= 1);
        assert!(record.host.booted.unwrap() < record.taken.unwrap());
        assert!(record.interfaces.iter().any(|interface| interface.name == "lo"));
        assert!(record.sysctl("net.core.somaxconn").is_some());
    }
}
