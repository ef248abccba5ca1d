# The verdict in one sentence, what cookies had to do with it, and what tells two causes apart.

## The verdict. $attacks, $others, $causes and $risks are lists of causes (causes.ftl).

verdict-healthy = Nothing is wrong, as far as could be seen.
verdict-healthy-with-risks = Nothing is wrong now; in bad times this would do harm: { $risks }.
verdict-nothing-recorded = The records show nothing wrong in the time from { $span }.
verdict-attack = An attack: { $attacks }.
verdict-attack-and-more = An attack: { $attacks }; but this would hurt without it too: { $others }.
verdict-no-attack-needed = No attack is needed to explain this: { $causes }.
verdict-two-fit = Two causes fit what is known, { $one } or { $other }; see below what tells them apart.
verdict-cannot-be-known = There was trouble, or a message about it, but these records cannot say why.
verdict-no-record = There is no record of the time asked for.

## What SYN cookies had to do with it.

cookies-off = SYN cookies are switched off. Nothing was seen that they would have changed.
cookies-off-and-missed = SYN cookies are switched off, and that did harm: { $dropped ->
        [one] one connection request was
       *[other] { $dropped } connection requests were
    } dropped because a queue was full.
cookies-not-needed = SYN cookies had nothing to do with it: no SYN queue was full, so none was sent.
cookies-helped = SYN cookies helped: { $sent } went out over a full queue and { $returned } came back, each a real client who got in.
cookies-held-flood = { $sent ->
        [0] SYN cookies kept the port open; how many went out was not recorded.
       *[other] SYN cookies kept the port open: { $sent } went out and only { $returned } came back.
    } Leave them on.
cookies-nothing = SYN cookies are on, and had nothing to do with this trouble. Switching them off would help nobody.
cookies-inert = SYN cookies are on, but do nothing here: where they were asked for, none went out or none came back right.
cookies-always = SYN cookies are sent for every connection (tcp_syncookies = 2), also where there is room. That loses TCP options for nothing.
cookies-unknown = What SYN cookies had to do with it, the records do not tell.

## What tells two causes apart.

distinction-completions = Whether the handshakes are completed: a flood's never are, real clients' are. A capture, or PassiveOpens beside the SYNs, shows it.
distinction-cookies-return = Whether cookies come back: from real clients they do (SyncookiesRecv beside SyncookiesSent).
distinction-syn-acks-again = Whether SYN-ACKs are sent again: the kernel repeats them to who does not answer, and spoofed addresses never answer (TCPSynRetrans).
distinction-requests = Whether requests in the access log rise too: in a real rush they do, in a flood of SYNs they do not.
distinction-packet-kinds = Which packets come: SYN-ACKs from servers' ports are a reflection, bare SYNs are a flood. A capture shows it.
distinction-requests-on-connections = Whether requests come on the connections: visitors ask for something, a connection flood is silent.
distinction-memory-first = Which came first: if memory was short before the workers ran out, memory is the cause; if after, it is a consequence.
distinction-sources = Whether the sources are few: an office or a carrier behind one address completes its connections, an attacker does not.

## How sure, and in what part.

confidence-certain = certain
confidence-likely = likely
confidence-possible = possible

role-main = explains the trouble
role-contributing = took part in it
role-standing = a risk; no harm of it was seen

