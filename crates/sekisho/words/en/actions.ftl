# What to do now, and what to keep for next time. Commands and lines of configuration are added by the program (views/commands.rs).

## What to do now. $place is a file with its line, or `none`.

action-set-sysctl = Set `{ $key }` to { $to } (it is { $from }). `sekisho apply` does it, `sekisho rollback` takes it back.
action-run-sekisho = Let Sekisho protect this host: it asks for proof when, and only when, a queue fills.
action-block-network = Block { $network } for a while.
action-apache-workers = Let Apache start no more than { $workers } workers{ $place ->
        [none] {""}
       *[other] {" "}({ $place })
    }: as many as fit into memory.
action-php-children = Let php-fpm start no more than { $children } children{ $place ->
        [none] {""}
       *[other] {" "}({ $place })
    }: as many as fit into memory.
action-nginx-processes = Let nginx start no more than { $processes } worker processes{ $place ->
        [none] {""}
       *[other] {" "}({ $place })
    }: as many as fit into memory.
action-add-memory = Or add memory: with all workers running the machine needs { $memory }.
action-apache-event = Serve PHP by php-fpm and let Apache use the event MPM: idle connections then hold no worker, and far fewer PHP processes are needed.
action-keep-alive-shorter = Let { $server } keep idle connections for { $to } instead of { $from }: each holds a worker.
action-more-workers = Let { $server } start up to { $workers } workers{ $place ->
        [none] {""}
       *[other] {" "}({ $place })
    }: memory has room for them.
action-apache-backlog = Give Apache a backlog of { $backlog }{ $place ->
        [none] {""}
       *[other] {" "}({ $place })
    } and restart it.
action-nginx-backlog = Give nginx a backlog of { $backlog } on port { $port }{ $place ->
        [none] {""}
       *[other] {" "}({ $place })
    } and restart it.
action-systemd-backlog = Give the systemd socket of port { $port } a backlog of { $backlog } and restart it.
action-php-backlog = Give php-fpm a backlog of { $backlog }{ $place ->
        [none] {""}
       *[other] {" "}({ $place })
    } and restart it.
action-other-backlog = Give `{ $process }` on port { $port } a backlog of { $backlog }, where its settings allow it, and restart it.
action-look-at-application = Find out why the application on port { $port } accepts so slowly: what do its workers wait for?
action-look-at-applications = Find out which application accepts so slowly: in which queue does something wait?
action-look-at-backend = Look at what is behind { $server }: the application or the database that it waits for.
action-look-at-memory = Find out which processes take the memory.
action-request-timeouts = Let { $server } give up on slow clients sooner.
action-limit-connections = Bound the connections of one source: [limits] in Sekisho's configuration, or in the server itself.
action-less-tracking = Let the firewall not track connections to this service (`notrack`), or answer floods before it; a larger table only fills later.
action-ring-longer = Make the receive ring of { $interface } longer: { $ring } places.
action-spread-receive = Spread the packets that { $interface } receives over all CPUs (RSS, or RPS where the card cannot).
action-look-at-receive = Find out what takes the CPUs' time for packets: firewall rules, captures, drivers.
action-tell-provider = Ask your provider to filter: what the line cannot carry cannot be answered here.
action-loosen-limit = Take this rule out of { $chain }, or let it count each source by itself and with room enough: `{ $rule }`
action-leave-setting = Leave `{ $key }` as it is: it does not matter here.
action-leave-cookies = Leave SYN cookies switched on.
action-set-clock = Let the clock be set by NTP.

## What to keep for next time.

keep-sysstat = sysstat with TCP's counters, every minute (`OnCalendar=*:0/1` by `systemctl edit sysstat-collect.timer`).
keep-kernel-log = The kernel's log across restarts: a journal on disk.
keep-capture = The headers of packets, in a ring of files that never grows beyond 2 GB.
keep-access-log = The web server's access log, with times in a zone.
keep-error-log = The web server's error log: it says when workers ran out.
keep-worker-memory = What a worker takes, measured while the server is busy.
keep-incidents = Sekisho's daemon, also with `--mode observe`: it records the counters of each incident.
keep-longer = Keep { $source } for a longer time (logrotate, or `HISTORY` in sysstat's settings).
keep-doctor-as-root = `sekisho doctor --report FILE` as root while it happens: queues and sources are seen only then.
keep-settings = The settings of that time: `sysctl -a` and the servers' configuration.
keep-clock = A clock set by NTP, and logs whose times name their zone.
