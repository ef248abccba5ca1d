# Headings, tables, the timeline, and what goes wrong.

title-now = What is wrong now
title-then = What happened

about-now = { $host }, looked at on { $at } ({ $zone }).
about-past = { $host }, { $span } ({ $zone }), from this machine's own records.
about-incident = { $host }, incident { $number }, { $span } ({ $zone }).
about-folder = { $host }, { $span } ({ $zone }), from the files in { $folder }.
about-some-host = A machine whose name is not known
about-no-time = at a time that nothing tells

head-verdict = Verdict
head-why = Why
head-cookies = What SYN cookies had to do with it
head-apart = What tells them apart
head-now = What to do now
head-later = When there is time
head-keep = What to keep for next time
head-timeline = Timeline
head-evidence = Evidence
head-refuted = What would prove this wrong:
head-queues = What each listener's queue takes
head-unseen = What could not be looked at

tone-well = all is well
tone-bad = something is wrong
tone-unknown = not known

apart = { $one }, or { $other }?
sentence-space = {" "}
note-port = port { $port }

rate = { $number }/s
span = { $from } to { $until }

## What could not be looked at.

unseen = { $source }: { $why }.
unseen-file = { $source } ({ $file }): { $why }.
gap = { $source }: nothing from { $span } ({ $reason }).
gap-moment = { $source }: something is missing at { $span } ({ $reason }).

## Queues.

intro-queues = New connections that the SYN queue takes each second without a cookie, by how far away clients are (round-trip time), and the memory of full queues.
column-listener = Listener
column-fits = Fits
column-binds = Bound by
column-beyond = Beyond
column-memory = Memory
binds-application = the application's backlog
binds-somaxconn = somaxconn
binds-max-syn-backlog = tcp_max_syn_backlog
beyond-cookies = cookies
beyond-lost = lost
beyond-unknown = unknown
queue-wanted = { $listener }: a backlog of { $wanted } is advised; full, it would take { $memory }.

## The timeline.

intro-timeline = The figure behind each row is its highest value, or the lowest of what is scarce. Letters are explained below.
row-syns = SYNs/s
row-cookies-sent = Cookies sent/s
row-completions = Connections completed/s
row-half-open = Half-open connections
row-accept-queue = Waiting to be accepted
row-overflows = Accept queue full/s
row-segments-in = TCP segments received/s
row-requests = Requests/min
row-established = Connections
row-memory-available = Memory available
row-swap-used = Swap in use
row-load = Load average
row-workers = Workers
row-conntrack = Tracked connections
row-softirq = Soft interrupts, busiest CPU
row-least = least { $value }
row-summary = { $label }: between { $low } and { $high }; { $extreme } at { $at }
mark = { $at } { $what }
mark-many = { $at } { $what } ({ $count } times)
marks-more = and { $count } more

## The report.

report-made = Made by Sekisho { $version } on { $at }.

## What goes wrong, and what to do about it.

error-folder = `{ $folder }` cannot be read
hint-folder = `--from` takes a folder with files as they are in /var/log: sysstat's, kern.log, web servers' logs, captures
error-folder-empty = nothing in `{ $folder }` could be read as a record
error-no-time = “{ $text }” is no time that is understood
hint-no-time = known are "2026-11-30 02:00", 02:00, "yesterday 22:00", -3h, now, and RFC 3339 (2026-11-30T02:00:00+09:00)
error-wrong-order = the end ({ $until }) is not after the beginning ({ $from })
hint-wrong-order = --since is the earlier one
error-future = { $from } is still to come
hint-future = a time without zone is taken to be local; --zone +00:00 says UTC
error-report = the report cannot be written to `{ $file }`
hint-report = name a file in a folder that is there and that you may write to
note-report = The report is in { $file }.
