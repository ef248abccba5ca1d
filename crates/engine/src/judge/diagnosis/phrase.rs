//! What a diagnosis says, without words: enums whose variants are sentences with typed arguments.
//!
//! Views put them into words of a language by the kind's name; `KINDS` lists every kind with its arguments, so that a test can demand a
//! message for each, with exactly these arguments, in every language. In JSON a phrase is an object whose `kind` is that name.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Cause;
use super::value::{Argument, Bytes, Milliseconds, Network, Number, Percent, Port, Rate, Value};
use crate::act::Step;
use crate::observe::record::{GapReason, Server, Service, Source, Span, Time};

macro_rules! phrases {
    ($($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $kind:literal { $($field:ident: $type:ty),* $(,)? },)* })*) => {
        $(
            $(#[$meta])*
            #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
            #[serde(tag = "kind")]
            #[allow(missing_docs, reason = "each variant says what it is, and its fields' types say their units")]
            pub enum $name {
                $($(#[$doc])* #[serde(rename = $kind)] $variant { $($field: $type),* },)*
            }

            impl $name {
                /// Every kind: its name and the names of its arguments.
                pub const KINDS: &[(&str, &[&str])] = &[$(($kind, &[$(stringify!($field)),*]),)*];

                /// The kind's name, for ever.
                pub const fn kind(&self) -> &'static str {
                    match self {
                        $(Self::$variant { .. } => $kind,)*
                    }
                }

                /// Its arguments, by name.
                pub fn arguments(&self) -> Vec<(&'static str, Value)> {
                    match self {
                        $(Self::$variant { $($field),* } => vec![$((stringify!($field), $field.value())),*],)*
                    }
                }
            }
        )*
    };
}

phrases! {
    /// The verdict: one sentence.
    Verdict {
        /// Now: nothing is wrong, as far as could be seen.
        Healthy = "healthy" {},
        /// Now: nothing is wrong, but these settings or habits would do harm in bad times.
        HealthyWithRisks = "healthy-with-risks" { risks: Vec<Cause> },
        /// Then: the records show nothing wrong.
        NothingRecorded = "nothing-recorded" { span: Span },
        /// An attack, and nothing else is to blame.
        Attack = "attack" { attacks: Vec<Cause> },
        /// An attack, and besides it something that would hurt without it too.
        AttackAndMore = "attack-and-more" { attacks: Vec<Cause>, others: Vec<Cause> },
        /// Trouble, all of which is explained without any attack.
        NoAttackNeeded = "no-attack-needed" { causes: Vec<Cause> },
        /// Two causes fit what is known; see what tells them apart.
        TwoFit = "two-fit" { one: Cause, other: Cause },
        /// There was trouble or a message of it, and what is recorded cannot say why.
        CannotBeKnown = "cannot-be-known" {},
        /// There is no record of the time asked for.
        NoRecord = "no-record" {},
    }

    /// A fact that a finding rests on.
    Evidence {
        /// A capture: of the SYNs so many were completed; the share is of those never completed.
        SynsNeverCompleted = "syns-never-completed" { syns: u64, completed: u64, share: Percent },
        /// A capture: nearly all SYNs were completed.
        SynsCompleted = "syns-completed" { syns: u64, completed: u64, share: Percent },
        /// The most SYNs within a second of a capture or of the datapath.
        SynRatePeak = "syn-rate-peak" { rate: Rate, at: Time },
        /// SYNs received that became no connection, per second, at the peak.
        SynsAboveCompletions = "syns-above-completions" { syns: Rate, completed: Rate, at: Time },
        /// Cookies sent, of which only so many came back; the share is of those that did not.
        CookiesNotReturned = "cookies-not-returned" { sent: u64, returned: u64, share: Percent },
        /// Cookies sent, and so many came back: real clients.
        CookiesReturned = "cookies-returned" { sent: u64, returned: u64, share: Percent },
        /// Since boot: cookies sent, of which only so many came back.
        CookiesNotReturnedSinceBoot = "cookies-not-returned-since-boot" { sent: u64, returned: u64 },
        /// The most connections completed in a second.
        CompletionsPeak = "completions-peak" { rate: Rate, at: Time },
        /// Completed connections rose far above what is usual.
        CompletionsRose = "completions-rose" { usual: Rate, peak: Rate, at: Time },
        /// Completed connections stayed as usual or fell while segments rose.
        CompletionsFlat = "completions-flat" { usual: Rate, then: Rate, at: Time },
        /// Received TCP segments rose far above what is usual.
        SegmentsRose = "segments-rose" { usual: Rate, peak: Rate, at: Time },
        /// Received segments are as many as these completed connections need: nothing else came.
        SegmentsExplained = "segments-explained" { segments: u64, completed: u64 },
        /// Packets were as small as bare SYNs: mean sizes received and sent.
        SmallPackets = "small-packets" { received: Bytes, sent: Bytes },
        /// SYN-ACKs sent again each second: each is a client that did not answer.
        SynAcksSentAgain = "syn-acks-sent-again" { rate: Rate },
        /// A capture: SYN-ACKs sent again.
        SynAcksSentAgainCaptured = "syn-acks-sent-again-captured" { count: u64 },
        /// Half-open connections now, from so many sources.
        HalfOpen = "half-open" { count: u64, sources: u64 },
        /// So many of the half-open connections did not answer a SYN-ACK within a second.
        HalfOpenUnanswered = "half-open-unanswered" { count: u64, half_open: u64 },
        /// The most half-open connections over time.
        HalfOpenPeak = "half-open-peak" { count: u64, at: Time },
        /// Sources are scattered: so many different ones, the largest network has this share.
        SourcesScattered = "sources-scattered" { seen: u64, sources: u64, largest: Percent },
        /// Few networks make most of it.
        SourcesConcentrated = "sources-concentrated" { networks: u64, share: Percent, largest: Network },
        /// Many SYNs were written alike, and hardly any of these was completed.
        WrittenAlike = "written-alike" { count: u64, completed: u64, options: String },
        /// SYNs that met a full SYN queue, in the time looked at.
        SynQueueFull = "syn-queue-full" { count: u64 },
        /// SYNs that a full queue dropped, since cookies are off.
        SynsDropped = "syns-dropped" { count: u64 },
        /// The kernel's message about this port. It comes once for each socket, and on legitimate bursts too.
        FloodingMessage = "flooding-message" { port: Port, at: Time },
        /// The kernel's message about this port, without a time.
        FloodingMessageUndated = "flooding-message-undated" { port: Port },
        /// Requests a minute rose with the connections.
        RequestsRose = "requests-rose" { usual: u64, peak: u64, clients: u64, at: Time },
        /// Nearly every completed connection brought requests.
        RequestsCame = "requests-came" { requests: u64, completed: u64 },
        /// Requests a minute stayed as usual.
        RequestsUsual = "requests-usual" { usual: u64, peak: u64 },
        /// Round-trip times of completed handshakes: median and ninetieth hundredth.
        RoundTrips = "round-trips" { median: Milliseconds, slow: Milliseconds },
        /// A listener's SYN queue: half-open connections that fit, and new connections a second that it takes at this round trip.
        QueueTakes = "queue-takes" { port: Port, fits: u64, rate: Rate, round_trip: Milliseconds },
        /// A listener's accept queue is full.
        AcceptQueueFull = "accept-queue-full" { port: Port, waiting: u64, backlog: u64 },
        /// Handshakes that a full accept queue turned away in the time looked at.
        AcceptOverflows = "accept-overflows" { count: u64, peak: Rate, at: Time },
        /// Connections waiting to be accepted at the most.
        AcceptQueuePeak = "accept-queue-peak" { count: u64, at: Time },
        /// The server said that all its workers are in use.
        WorkersLimitMessage = "workers-limit-message" { server: Server, count: u64, at: Time },
        /// The server said so, without a time.
        WorkersLimitMessageUndated = "workers-limit-message-undated" { server: Server, count: u64 },
        /// So many workers are busy or there, of so many allowed.
        WorkersInUse = "workers-in-use" { server: Server, workers: u64, limit: u64 },
        /// The limit of workers, and where it is set.
        WorkersConfigured = "workers-configured" { server: Server, workers: u64, place: String },
        /// The limit of workers is the program's default.
        WorkersDefault = "workers-default" { server: Server, workers: u64 },
        /// What one worker takes, measured.
        WorkerMemory = "worker-memory" { server: Server, each: Bytes },
        /// What one worker took when the kernel killed it.
        WorkerMemoryKilled = "worker-memory-killed" { server: Server, each: Bytes },
        /// What one worker took, reckoned from memory and tasks over time.
        WorkerMemoryReckoned = "worker-memory-reckoned" { server: Server, each: Bytes, tasks: u64, memory: Bytes },
        /// The arithmetic: so many processes times so much is more than the machine has.
        WorkersDoNotFit = "workers-do-not-fit" { server: Server, processes: u64, each: Bytes, needed: Bytes, memory: Bytes },
        /// How many processes fit into what the machine can spare.
        WorkersThatFit = "workers-that-fit" { processes: u64, spare: Bytes },
        /// The least memory available.
        MemoryLow = "memory-low" { available: Bytes, memory: Bytes, at: Time },
        /// The least memory available, on a machine whose memory is not known.
        MemoryLeast = "memory-least" { available: Bytes, at: Time },
        /// The most swap in use.
        SwapUsed = "swap-used" { used: Bytes, at: Time },
        /// The most pages swapped in and out in a second.
        SwapTraffic = "swap-traffic" { pages: Rate, at: Time },
        /// The most time in which tasks waited for memory.
        MemoryPressure = "memory-pressure" { share: Percent, at: Time },
        /// Memory promised to processes, of all there is.
        MemoryCommitted = "memory-committed" { share: Percent, at: Time },
        /// Processes killed for want of memory.
        OutOfMemoryKills = "out-of-memory-kills" { process: String, count: u64 },
        /// Processes killed for want of memory, as counted.
        OutOfMemoryCounted = "out-of-memory-counted" { count: u64 },
        /// The highest load average, on so many CPUs.
        Load = "load" { load: Number, cpus: u64, at: Time },
        /// Tasks that waited for the disk, at the most.
        BlockedTasks = "blocked-tasks" { count: u64, at: Time },
        /// The server waited in vain for what is behind it, or was refused.
        BackendFailed = "backend-failed" { server: Server, count: u64 },
        /// Answers 502, 503 or 504.
        AnswersOverloaded = "answers-overloaded" { count: u64, requests: u64 },
        /// Established connections to listeners, from so many sources.
        Established = "established" { count: u64, sources: u64 },
        /// The most established connections over time.
        EstablishedPeak = "established-peak" { usual: u64, peak: u64, at: Time },
        /// Connections on which no byte came since the handshake.
        SilentConnections = "silent-connections" { count: u64, share: Percent },
        /// Many connections, and few requests to go with them.
        FewRequests = "few-requests" { connections: u64, requests: u64 },
        /// Requests that timed out before they were complete (408).
        RequestTimeouts = "request-timeouts" { count: u64, requests: u64 },
        /// Clients that the server gave up for being too slow.
        ClientsTooSlow = "clients-too-slow" { server: Server, count: u64 },
        /// Clients that a mail or SSH server gave up because they did nothing, or came too often.
        TurnedAway = "turned-away" { service: Service, count: u64 },
        /// Connections whose client has closed its window while data waits.
        StalledConnections = "stalled-connections" { count: u64, share: Percent },
        /// A capture: segments with a window of zero.
        ZeroWindows = "zero-windows" { count: u64, segments: u64 },
        /// The kernel said that connection tracking is full.
        ConntrackMessage = "conntrack-message" { count: u64 },
        /// Connection tracking's entries, of so many.
        ConntrackFilled = "conntrack-filled" { entries: u64, max: u64 },
        /// Packets dropped since connection tracking was full.
        ConntrackDrops = "conntrack-drops" { count: u64 },
        /// The most CPU time of soft interrupts on one CPU, of so many.
        SoftirqBusiest = "softirq-busiest" { share: Percent, cpus: u64, at: Time },
        /// The most CPU time of soft interrupts, all CPUs together.
        SoftirqAll = "softirq-all" { share: Percent, at: Time },
        /// Packets dropped in a second because a CPU's input queue was full.
        SoftnetDrops = "softnet-drops" { rate: Rate, at: Time },
        /// Packets that found no room in the NIC's ring, in a second.
        InterfaceOverruns = "interface-overruns" { rate: Rate, at: Time },
        /// An interface's ring is shorter than it can be.
        RingShort = "ring-short" { interface: String, ring: u64, max: u64 },
        /// One receive queue for many CPUs.
        OneReceiveQueue = "one-receive-queue" { interface: String, cpus: u64 },
        /// The busiest interface's use of its speed.
        InterfaceUse = "interface-use" { share: Percent, at: Time },
        /// Packets received in a second.
        PacketsPeak = "packets-peak" { rate: Rate, at: Time },
        /// A capture: SYN-ACKs that nobody here asked for, of so many packets.
        SynAcksUnasked = "syn-acks-unasked" { count: u64, packets: u64 },
        /// Resets sent in a second, beside the segments received.
        ResetsSent = "resets-sent" { resets: Rate, segments: Rate, at: Time },
        /// Half-open connections whose other end is on a server's port.
        FromServicePorts = "from-service-ports" { count: u64, half_open: u64 },
        /// A firewall rule lets only so many new connections through.
        LimitRule = "limit-rule" { program: String, chain: String, rule: String, rate: Rate },
        /// So many packets met the rule.
        LimitMet = "limit-met" { packets: u64 },
        /// Connections came at this rate, more than or close to what the rule lets through.
        LimitBelowNeed = "limit-below-need" { limit: Rate, need: Rate },
        /// A capture: SYNs sent again or never answered, although the queue had room.
        SynsUnanswered = "syns-unanswered" { unanswered: u64, syns: u64 },
        /// A firewall's rule logged packets.
        FirewallLogged = "firewall-logged" { prefix: String, count: u64 },
        /// A setting's value.
        Setting = "setting" { key: String, value: String },
        /// A setting that has no effect while another is as it is.
        SettingWithoutEffect = "setting-without-effect" { key: String, value: String, because: String },
        /// What a spoofed address gets: packets for one, and for how long each stays.
        Amplification = "amplification" { packets: u64, stays: Milliseconds },
        /// A full queue asked for cookies, and so many went out.
        CookiesAskedNotSent = "cookies-asked-not-sent" { asked: u64, sent: u64 },
        /// ACKs that were no valid cookie.
        CookiesFailed = "cookies-failed" { failed: u64, returned: u64 },
        /// A source tells nothing of this time.
        Gap = "gap" { source: Source, span: Span, reason: GapReason },
        /// A source tells of this time only.
        Covered = "covered" { source: Source, span: Span },
        /// A clock seems to be ahead by so much of the others' (or behind).
        ClockAhead = "clock-ahead" { source: Source, ahead: Milliseconds },
        /// A clock seems to be behind.
        ClockBehind = "clock-behind" { source: Source, behind: Milliseconds },
        /// Times without a zone were read as if they were this far from UTC, in minutes ahead.
        ZoneAssumed = "zone-assumed" { source: Source, zone: String },
        /// Events that found no more room in the record.
        EventsLeftOut = "events-left-out" { count: u64 },
    }

    /// What would prove a finding wrong.
    Refutation {
        /// Completed connections or requests that rose together with the SYNs: then these were real clients.
        CompletionsRoseToo = "completions-rose-too" {},
        /// A capture in which these SYNs are completed.
        CaptureShowsCompletions = "capture-shows-completions" {},
        /// A capture in which most SYNs are never completed: then it was a flood.
        CaptureShowsNone = "capture-shows-none" {},
        /// Cookies of which most never came back: then it was a flood.
        CookiesNeverReturned = "cookies-never-returned" {},
        /// The same networks completing many connections: an office or a carrier behind one address.
        NetworksAreCustomers = "networks-are-customers" {},
        /// Sources that are scattered: then blocking networks would not help.
        SourcesAreScattered = "sources-are-scattered" {},
        /// The accept queue stays empty under the same load.
        AcceptQueueStaysEmpty = "accept-queue-stays-empty" { port: Port },
        /// Answers that come quickly at such times.
        AnswersQuick = "answers-quick" {},
        /// Workers that are idle at such times.
        WorkersIdle = "workers-idle" { server: Server },
        /// Workers that take less than this: then they fit.
        WorkersSmaller = "workers-smaller" { server: Server, each: Bytes },
        /// Some other process that takes the memory.
        AnotherProcess = "another-process" {},
        /// Requests that do come on these connections: long polling, websockets, waiting clients.
        RequestsCome = "requests-come" {},
        /// Few clients on bad lines, in one network.
        BadLines = "bad-lines" {},
        /// A table that never came near its limit.
        TableNotFull = "table-not-full" {},
        /// Drops that go on although there is room.
        DropsGoOn = "drops-go-on" {},
        /// This host's own connections going out another way than the capture sees.
        OwnConnections = "own-connections" {},
        /// Clients that do use such source ports: some NAT gateways.
        NatUsesLowPorts = "nat-uses-low-ports" {},
        /// The rule's counter standing still while clients are turned away.
        LimitNotMet = "limit-not-met" {},
        /// A setting that is different where the service runs: another network namespace or container.
        SetElsewhere = "set-elsewhere" { key: String },
        /// Other records of that time.
        OtherRecords = "other-records" {},
    }

    /// What to do now.
    Action {
        /// A sysctl; `sekisho apply` can do it.
        SetSysctl = "set-sysctl" { key: String, from: String, to: String },
        /// Let Sekisho protect the host.
        RunSekisho = "run-sekisho" {},
        /// Block a network for a while.
        BlockNetwork = "block-network" { network: Network },
        /// So many workers fit.
        ApacheWorkers = "apache-workers" { workers: u64, place: String },
        /// So many children of php-fpm fit.
        PhpChildren = "php-children" { children: u64, place: String },
        /// So many worker processes of nginx fit.
        NginxProcesses = "nginx-processes" { processes: u64, place: String },
        /// Or: so much memory is needed.
        AddMemory = "add-memory" { memory: Bytes },
        /// Serve PHP from php-fpm with the event MPM: idle connections then take no worker.
        ApacheEvent = "apache-event" {},
        /// Keep idle connections for a shorter time.
        KeepAliveShorter = "keep-alive-shorter" { server: Server, from: Milliseconds, to: Milliseconds },
        /// Allow more workers: memory has room.
        MoreWorkers = "more-workers" { server: Server, workers: u64, place: String },
        /// A larger backlog in Apache's settings.
        ApacheBacklog = "apache-backlog" { backlog: u64, place: String },
        /// A larger backlog in nginx's settings.
        NginxBacklog = "nginx-backlog" { port: Port, backlog: u64, place: String },
        /// A larger backlog in a systemd socket unit.
        SystemdBacklog = "systemd-backlog" { port: Port, backlog: u64 },
        /// A larger backlog in php-fpm's settings.
        PhpBacklog = "php-backlog" { backlog: u64, place: String },
        /// A larger backlog, wherever that application has it.
        OtherBacklog = "other-backlog" { port: Port, backlog: u64, process: String },
        /// Find out why the application accepts so slowly.
        LookAtApplication = "look-at-application" { port: Port },
        /// The same, where the port is not known.
        LookAtApplications = "look-at-applications" {},
        /// Look at what is behind the web server.
        LookAtBackend = "look-at-backend" { server: Server },
        /// Find out which processes take the memory.
        LookAtMemory = "look-at-memory" {},
        /// Let the server give up slow clients sooner.
        RequestTimeouts = "request-timeouts" { server: Server },
        /// Bound connections of one source in the application or in the firewall.
        LimitConnections = "limit-connections" {},
        /// Take connection tracking away from before this service, or answer floods before it.
        LessTracking = "less-tracking" {},
        /// A longer ring.
        RingLonger = "ring-longer" { interface: String, ring: u64 },
        /// Spread packets over the CPUs (RSS or RPS).
        SpreadReceive = "spread-receive" { interface: String },
        /// Find out what takes the CPUs' time for packets.
        LookAtReceive = "look-at-receive" {},
        /// Ask the provider to filter before the line.
        TellProvider = "tell-provider" {},
        /// Take the rule away, or count each source by itself with room enough.
        LoosenLimit = "loosen-limit" { chain: String, rule: String },
        /// Leave this setting: it does not matter here.
        LeaveSetting = "leave-setting" { key: String },
        /// Leave SYN cookies on.
        LeaveCookies = "leave-cookies" {},
        /// Set the clock by NTP.
        SetClock = "set-clock" {},
    }

    /// What to keep for next time.
    Keep {
        /// sysstat every minute, with TCP counters.
        Sysstat = "sysstat" {},
        /// The kernel's log, or the journal, across boots.
        KernelLog = "kernel-log" {},
        /// A capture of headers, in a ring of files.
        Capture = "capture" {},
        /// Access logs of the web server.
        AccessLog = "access-log" {},
        /// The error log of the web server.
        ErrorLog = "error-log" {},
        /// Memory of the workers.
        WorkerMemory = "worker-memory" {},
        /// Sekisho's daemon, which records counters of each incident.
        Incidents = "incidents" {},
        /// Logs for a longer time.
        Longer = "longer" { source: Source },
        /// Run `sekisho doctor` as root while it happens.
        DoctorAsRoot = "doctor-as-root" {},
        /// Settings: `sysctl -a` and the servers' configuration.
        Settings = "settings" {},
        /// A clock set by NTP, and logs with their zone.
        Clock = "clock" {},
    }

    /// What tells two causes apart.
    Distinction {
        /// A flood's SYNs are never completed; real clients' are.
        Completions = "completions" {},
        /// Cookies come back from real clients.
        CookiesReturn = "cookies-return" {},
        /// The kernel sends SYN-ACKs again to who does not answer.
        SynAcksAgain = "syn-acks-again" {},
        /// Requests in access logs rise with a real rush.
        Requests = "requests" {},
        /// What the packets are: SYN-ACKs from server ports, or anything.
        PacketKinds = "packet-kinds" {},
        /// Whether requests come on the connections.
        RequestsOnConnections = "requests-on-connections" {},
        /// Whether memory was short before workers ran out, or after.
        MemoryFirst = "memory-first" {},
        /// Whether the sources are few.
        Sources = "sources" {},
    }

    /// What SYN cookies had to do with it.
    Cookies {
        /// Switched off.
        Off = "off" {},
        /// Switched off, and a full queue turned clients away for that.
        OffAndMissed = "off-and-missed" { dropped: u64 },
        /// On, and never needed: no queue was full.
        NotNeeded = "not-needed" {},
        /// On, and they let real clients in over a full queue.
        Helped = "helped" { sent: u64, returned: u64 },
        /// On, and they kept the port open during a flood.
        HeldFlood = "held-flood" { sent: u64, returned: u64 },
        /// On, and nothing to do with the trouble found.
        Nothing = "nothing" {},
        /// On, but no cookie went out, or none came back right.
        Inert = "inert" {},
        /// For everybody all the time.
        Always = "always" {},
        /// The records do not tell.
        Unknown = "unknown" {},
    }
}

impl Action {
    /// The step that `sekisho apply` makes of it; `None`: it is for the owner's hands.
    pub fn step(&self) -> Option<Step> {
        match self {
            Self::SetSysctl { key, from, to } => {
                Some(Step::Sysctl { key: key.clone(), from: from.clone(), to: to.clone() })
            }
            _ => None,
        }
    }
}

/// Where a setting stands, as text.
pub fn place(place: Option<&(PathBuf, u32)>) -> String {
    place.map_or_else(String::new, |(file, line)| format!("{}:{line}", file.display()))
}
