# What findings rest on, and what would prove them wrong. Whole sentences.

## SYNs and what became of them.

evidence-syns-never-completed = The capture has { $syns } SYNs, of which { $completed } were completed: { $share } never were.
evidence-syns-completed = The capture has { $syns } SYNs, of which { $completed } were completed ({ $share }): these were real clients.
evidence-syn-rate-peak = SYNs came at up to { $rate }, at { $at }.
evidence-syns-above-completions = At { $at }, SYNs came at { $syns }, and connections were completed at { $completed }.
evidence-cookies-not-returned = { $sent } SYN cookies were sent, and { $returned } came back: { $share } went to nobody.
evidence-cookies-returned = { $sent } SYN cookies were sent, and { $returned } came back ({ $share }): from real clients.
evidence-cookies-not-returned-since-boot = Since the machine was started, { $sent } SYN cookies were sent, and { $returned } came back.
evidence-completions-peak = Connections were completed at up to { $rate }, at { $at }.
evidence-completions-rose = Completed connections rose from the usual { $usual } to { $peak } at { $at }.
evidence-completions-flat = Completed connections did not rise: { $usual } as usual, { $then } at { $at }.
evidence-segments-rose = Received TCP segments rose from the usual { $usual } to { $peak } at { $at }.
evidence-segments-explained = { $segments } TCP segments came with { $completed } completed connections: about as many as these need.
evidence-small-packets = The packets were as small as bare SYNs: { $received } received and { $sent } sent on average.
evidence-syn-acks-sent-again = SYN-ACKs were sent again at { $rate }, each to somebody who did not answer.
evidence-syn-acks-sent-again-captured = { $count ->
        [one] The capture has one SYN-ACK that was sent again
       *[other] The capture has { $count } SYN-ACKs that were sent again, each to somebody who did not answer
    }.
evidence-half-open = { $count ->
        [one] One connection is half-open
       *[other] { $count } connections are half-open
    }, from { $sources ->
        [one] one source
       *[other] { $sources } sources
    }.
evidence-half-open-unanswered = { $count } of { $half_open } half-open connections did not answer the SYN-ACK within a second, and it was sent again.
evidence-half-open-peak = Up to { $count } connections were half-open, at { $at }.
evidence-sources-scattered = The sources are scattered: { $sources } different ones among { $seen } looked at; the largest network has { $largest }.
evidence-sources-concentrated = { $networks ->
        [one] One network makes
       *[other] { $networks } networks make
    } { $share } of it; the largest is { $largest }.
evidence-written-alike = { $count } SYNs were written alike (options { $options }), and { $completed } of these were completed: the hand of one program.
evidence-syn-queue-full = { $count ->
        [one] One SYN
       *[other] { $count } SYNs
    } met a full SYN queue.
evidence-syns-dropped = { $count ->
        [one] One SYN was
       *[other] { $count } SYNs were
    } dropped, because the queue was full and cookies are off.
evidence-flooding-message = The kernel printed “possible SYN flooding on port { $port }” at { $at }. It does so once for each socket, and on legitimate bursts as well.
evidence-flooding-message-undated = The kernel printed “possible SYN flooding on port { $port }”, nobody knows when. It does so once for each socket, and on legitimate bursts as well.
evidence-requests-rose = Requests rose with the connections: from the usual { $usual } a minute to { $peak } at { $at }, from { $clients } clients.
evidence-requests-came = { $requests } requests came with { $completed } completed connections.
evidence-requests-usual = Requests stayed as usual: { $usual } a minute, { $peak } at most.
evidence-round-trips = Clients are { $median } away (median), one in ten further than { $slow }.

## Queues and workers.

evidence-queue-takes = Port { $port } has room for { $fits } half-open connections: at a round-trip time of { $round_trip } it takes new connections at { $rate }, and no faster.
evidence-accept-queue-full = The accept queue of port { $port } is full: { $waiting } connections wait, the backlog is { $backlog }.
evidence-accept-overflows = { $count ->
        [one] One finished handshake was
       *[other] { $count } finished handshakes were
    } turned away by a full accept queue, at up to { $peak } (at { $at }).
evidence-accept-queue-peak = Up to { $count } connections waited to be accepted, at { $at }.
evidence-workers-limit-message = { $server } said { $count ->
        [one] once
       *[other] { $count } times
    } that all its workers are in use, first at { $at }.
evidence-workers-limit-message-undated = { $server } said { $count ->
        [one] once
       *[other] { $count } times
    } that all its workers are in use.
evidence-workers-in-use = { $server } has { $workers } workers, of { $limit } that its settings allow.
evidence-workers-configured = { $server } may start { $workers } workers ({ $place }).
evidence-workers-default = { $server } may start { $workers } workers (its default).
evidence-worker-memory = One worker of { $server } takes { $each } of memory (measured).
evidence-worker-memory-killed = One worker of { $server } took { $each } of memory when the kernel killed it.
evidence-worker-memory-reckoned = One worker of { $server } takes about { $each }: { $tasks } more tasks went with { $memory } less memory.
evidence-workers-do-not-fit = The arithmetic for { $server }: { $processes } workers × { $each } = { $needed }, and the machine has { $memory }.
evidence-workers-that-fit = { $processes ->
        [one] One worker fits
       *[other] { $processes } workers fit
    } into the { $spare } that can be spared for them.

## Memory and load.

evidence-memory-low = Only { $available } of { $memory } of memory were available at { $at }.
evidence-memory-least = Only { $available } of memory were available at { $at }.
evidence-swap-used = Up to { $used } of swap were in use, at { $at }.
evidence-swap-traffic = Pages were swapped in and out at up to { $pages }, at { $at }.
evidence-memory-pressure = Tasks waited for memory { $share } of the time, at { $at }.
evidence-memory-committed = { $share } of all memory and swap was promised to processes at { $at }.
evidence-out-of-memory-kills = For want of memory the kernel killed `{ $process }` { $count ->
        [one] once
       *[other] { $count } times
    }.
evidence-out-of-memory-counted = { $count ->
        [one] One process was
       *[other] { $count } processes were
    } killed for want of memory.
evidence-load = The load average rose to { $load } at { $at }, on { $cpus ->
        [one] one CPU
       *[other] { $cpus } CPUs
    }.
evidence-blocked-tasks = Up to { $count } tasks waited for the disk, at { $at }.

## What servers say.

evidence-backend-failed = { $server } { $count ->
        [one] once
       *[other] { $count } times
    } got no answer, or a refusal, from what is behind it.
evidence-answers-overloaded = { $count } of { $requests } requests were answered with 502, 503 or 504.
evidence-established = { $count ->
        [one] One connection is
       *[other] { $count } connections are
    } established, from { $sources ->
        [one] one source
       *[other] { $sources } sources
    }.
evidence-established-peak = Established connections rose from the usual { $usual } to { $peak } at { $at }.
evidence-silent-connections = On { $count } connections ({ $share }) no byte has come since the handshake.
evidence-few-requests = { $connections } connections were made, but only { $requests } requests came on them.
evidence-request-timeouts = { $count } of { $requests } requests were not complete in time (status 408).
evidence-clients-too-slow = { $server } gave up on { $count ->
        [one] one client that was
       *[other] { $count } clients that were
    } too slow.
evidence-turned-away = { $service } gave up on { $count ->
        [one] one client that did nothing or came too often
       *[other] { $count } clients that did nothing or came too often
    }.
evidence-stalled-connections = { $count } connections ({ $share }) have data to send whose client does not read.
evidence-zero-windows = In { $count } of { $segments } segments of the capture clients said that they read no more (window 0).

## Packets and the firewall.

evidence-conntrack-message = The kernel said { $count ->
        [one] once
       *[other] { $count } times
    } that the table of connection tracking is full.
evidence-conntrack-filled = Connection tracking has { $entries } entries; { $max } fit.
evidence-conntrack-drops = { $count ->
        [one] One packet was
       *[other] { $count } packets were
    } dropped because the table of connection tracking was full.
evidence-softirq-busiest = One of { $cpus } CPUs spent { $share } of its time on receiving packets, at { $at }.
evidence-softirq-all = All CPUs together spent { $share } of their time on receiving packets, at { $at }.
evidence-softnet-drops = Packets were dropped at { $rate } because a CPU's input queue was full, at { $at }.
evidence-interface-overruns = Packets found no room in the network card, at up to { $rate }, at { $at }.
evidence-ring-short = The receive ring of { $interface } has { $ring } places and could have { $max }.
evidence-one-receive-queue = { $interface } has one receive queue, so one of { $cpus } CPUs takes in everything.
evidence-interface-use = The busiest interface was used to { $share } of its speed, at { $at }.
evidence-packets-peak = Packets were received at up to { $rate }, at { $at }.
evidence-syn-acks-unasked = The capture has { $count } SYN-ACKs for which nobody here sent a SYN, among { $packets } packets.
evidence-resets-sent = Resets were sent at { $resets }, beside segments received at { $segments }, at { $at }.
evidence-from-service-ports = { $count } of { $half_open } half-open connections come from servers' ports (80, 443, 53 …), from which no client connects.
evidence-limit-rule = A rule of { $program } in { $chain } lets new connections through at { $rate }: `{ $rule }`.
evidence-limit-met = { $packets ->
        [one] One packet has
       *[other] { $packets } packets have
    } met the rule.
evidence-limit-below-need = The rule lets { $limit } through; connections came at { $need }.
evidence-syns-unanswered = { $unanswered } of { $syns } SYNs in the capture were never answered, although the queue had room.
evidence-firewall-logged = The firewall logged { $count ->
        [one] one packet
       *[other] { $count } packets
    } (“{ $prefix }”).

## Settings.

evidence-setting = `{ $key }` is { $value }.
evidence-setting-without-effect = `{ $key }` is { $value }, which has no effect: { $because }.
evidence-amplification = For each SYN { $packets ->
        [one] one packet goes
       *[other] { $packets } packets go
    } to the spoofed address, and the half-open connection stays for { $stays }.
evidence-cookies-asked-not-sent = { $asked } times a full queue asked for a cookie, and { $sent } went out.
evidence-cookies-failed = { $failed } ACKs were no valid cookie; { $returned } were.

## The records themselves.

evidence-gap = { $source }: nothing from { $span } ({ $reason }).
evidence-covered = { $source }: something only from { $span }.
evidence-clock-ahead = { $source }: its clock seems to be { $ahead } ahead of the others.
evidence-clock-behind = { $source }: its clock seems to be { $behind } behind the others.
evidence-zone-assumed = { $source }: its times name no zone and were read as { $zone }.
evidence-events-left-out = { $count ->
        [one] One event
       *[other] { $count } events
    } found no more room in the record.

## What would prove a finding wrong.

refutation-completions-rose-too = Completed connections or requests that rose together with the SYNs: then these were real clients.
refutation-capture-shows-completions = A capture in which these SYNs are completed.
refutation-capture-shows-none = A capture in which most SYNs are never completed: then it was a flood.
refutation-cookies-never-returned = Cookies of which most never came back: then it was a flood.
refutation-networks-are-customers = The same networks completing many connections: then it is an office or a carrier with many users behind few addresses.
refutation-sources-are-scattered = Scattered sources: then blocking networks does not help.
refutation-accept-queue-stays-empty = An accept queue of port { $port } that stays empty under the same load.
refutation-workers-idle = Idle workers of { $server } at such a time.
refutation-workers-smaller = Workers of { $server } that take less than { $each }: then they fit.
refutation-another-process = Another process that takes the memory.
refutation-requests-come = Requests that do come on these connections: long polling, WebSocket, clients that wait.
refutation-answers-quick = Answers that come quickly at such times.
refutation-bad-lines = Few clients, all on bad lines in one network.
refutation-table-not-full = A table that never came near its limit.
refutation-drops-go-on = Drops that go on although there is room.
refutation-own-connections = Connections of this host itself whose SYNs leave another way than the capture sees.
refutation-nat-uses-low-ports = Clients behind NAT that do use such source ports.
refutation-limit-not-met = The rule's counter standing still while clients are turned away.
refutation-set-elsewhere = Another value of `{ $key }` where the service runs: in a container or another network namespace.
refutation-other-records = Other records of that time.
