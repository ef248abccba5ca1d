//! Signs that real clients came in numbers: handshakes completed, cookies that came back, requests in access logs.

use super::facts::{Facts, quartile, whole};
use super::flood;
use super::phrase::Evidence;
use super::thresholds as at;
use super::value::{Milliseconds, Percent, Rate};
use crate::observe::record::{Metric, Packets, Sample, Time};

/// What speaks for real clients.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rush {
    /// Cookies came back.
    pub cookies: Option<Evidence>,
    /// A capture shows handshakes completed.
    pub captured: Option<Evidence>,
    /// Completed connections rose.
    pub completions: Option<Evidence>,
    /// Requests rose, or came with the connections.
    pub requests: Option<Evidence>,
    /// Received segments are no more than the connections need.
    pub explained: Option<Evidence>,
    /// Round-trip times of a capture.
    pub round_trips: Option<Evidence>,
    /// The round trip to reckon with, in milliseconds.
    pub round_trip_ms: u64,
}

impl Rush {
    /// Looks for it.
    pub fn look(facts: &Facts<'_>) -> Self {
        let round_trips = facts.record.packets.iter().filter_map(|packets| packets.round_trip_us).next();
        Self {
            cookies: cookies(facts),
            captured: facts.record.packets.iter().find_map(captured),
            completions: completions(facts),
            requests: rose(facts).or_else(|| came(facts)),
            explained: explained(facts),
            round_trips: round_trips.map(|us| Evidence::RoundTrips {
                median: Milliseconds(us[1] / 1000),
                slow: Milliseconds(us[2] / 1000),
            }),
            round_trip_ms: round_trips.map_or(at::ROUND_TRIP_MS, |us| (us[2] / 1000).max(1)),
        }
    }

    /// Whether there is any sign that more clients came than usual, or that those that came were real.
    pub const fn any(&self) -> bool {
        self.certain() || self.completions.is_some() || self.requests.is_some()
    }

    /// Whether the handshakes themselves show it.
    pub const fn certain(&self) -> bool {
        self.cookies.is_some() || self.captured.is_some()
    }

    /// All of it as evidence, the weightiest first.
    pub fn evidence(&self) -> Vec<Evidence> {
        let all =
            [&self.cookies, &self.captured, &self.completions, &self.requests, &self.explained, &self.round_trips];
        all.into_iter().flatten().cloned().collect()
    }
}

fn cookies(facts: &Facts<'_>) -> Option<Evidence> {
    let (sent, returned) = (facts.sum(Metric::CookiesSent)?, facts.sum(Metric::CookiesReceived)?);
    let real = sent >= at::COOKIES_MIN && returned >= at::COOKIES_REAL * sent;
    // Who finds the accept queue full sends his again, and each is counted.
    let returned = returned.min(sent);
    let share = Percent(returned / sent.max(1.0) * 100.0);
    real.then(|| Evidence::CookiesReturned { sent: whole(sent), returned: whole(returned), share })
}

fn captured(packets: &Packets) -> Option<Evidence> {
    let completed = packets.completed.min(packets.syns);
    let real = completed as f64 >= at::COOKIES_MIN && flood::never_completed(packets) * 4.0 <= completed as f64;
    let share = Percent(completed as f64 / packets.syns.max(1) as f64 * 100.0);
    real.then_some(Evidence::SynsCompleted { syns: packets.syns, completed, share })
}

fn completions(facts: &Facts<'_>) -> Option<Evidence> {
    let (when, peak) = facts.peak(Metric::PassiveOpens)?;
    let usual = facts.usual(Metric::PassiveOpens)?;
    let rose = peak >= at::RUSH_RATE && peak >= at::RISE * usual;
    rose.then_some(Evidence::CompletionsRose { usual: Rate(usual), peak: Rate(peak), at: when })
}

fn rose(facts: &Facts<'_>) -> Option<Evidence> {
    let (usual, peak, clients, at) = busiest_minute(facts)?;
    let rose = peak >= at::RUSH_REQUESTS && peak as f64 >= at::RISE * usual;
    rose.then_some(Evidence::RequestsRose { usual: whole(usual), peak, clients, at })
}

/// Requests that stayed as usual.
pub fn requests_usual(facts: &Facts<'_>) -> Option<Evidence> {
    let (usual, peak, ..) = busiest_minute(facts)?;
    let stayed = (peak as f64) < at::RISE * usual;
    stayed.then_some(Evidence::RequestsUsual { usual: whole(usual), peak })
}

/// Requests a minute: what is usual, the most, from how many clients, and when.
fn busiest_minute(facts: &Facts<'_>) -> Option<(f64, u64, u64, Time)> {
    let all = Facts::requests_by_minute(facts.whole);
    let usual = quartile(all.values().map(|(requests, _)| *requests as f64).collect())?;
    let minutes = Facts::requests_by_minute(&facts.record);
    let (when, (peak, clients)) = minutes.into_iter().max_by_key(|(_, minute)| *minute)?;
    Some((usual, peak, clients, when))
}

fn came(facts: &Facts<'_>) -> Option<Evidence> {
    let (requests, completed) = (facts.requests()?, facts.sum(Metric::PassiveOpens)?);
    let real = requests >= at::RUSH_REQUESTS && requests as f64 >= at::REQUESTS_PER_CONNECTION * completed;
    real.then(|| Evidence::RequestsCame { requests, completed: whole(completed) })
}

/// At the peak of what is received, not over all the time: a flood of a minute drowns in a day.
fn explained(facts: &Facts<'_>) -> Option<Evidence> {
    let both = |metric| move |sample: &Sample| sample.values.get(&metric).copied();
    let (segments, passive) = (both(Metric::SegmentsIn), both(Metric::PassiveOpens));
    let samples = facts.record.samples.iter().filter(|sample| segments(sample).is_some() && passive(sample).is_some());
    let peak = samples
        .max_by(|one, other| segments(one).partial_cmp(&segments(other)).unwrap_or(std::cmp::Ordering::Equal))?;
    let (segments, passive) = (segments(peak)?, passive(peak)?);
    let seconds = peak.interval_ms as f64 / 1000.0;
    let explained = passive >= 1.0 && segments <= passive * at::SEGMENTS_PER_CONNECTION;
    explained.then(|| Evidence::SegmentsExplained {
        segments: whole(segments * seconds),
        completed: whole(passive * seconds),
    })
}
