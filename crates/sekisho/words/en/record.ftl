# What records tell, and what they could not.

## Where facts come from.

source-kernel = the running kernel
source-sysstat = sysstat's files
source-kernel-log = the kernel's log
source-journal = systemd's journal
source-syslog = syslog
source-apache-config = Apache's settings
source-nginx-config = nginx's settings
source-php-fpm-config = php-fpm's settings
source-access-log = the web server's access log
source-error-log = the web server's error log
source-mail-log = Postfix's log
source-ssh-log = sshd's log
source-packets = a capture of packets
source-sysctl = the kernel's settings (sysctl)
source-processes = processes
source-interfaces = network interfaces
source-firewall = firewall rules
source-conntrack = connection tracking
source-sekisho = Sekisho's own counters
source-pressure = memory pressure (PSI)

## Why something could not be looked at.

why-missing = not there
why-not-permitted = only root may look
why-not-installed = the program `{ $value }` is not installed
why-not-supported = this kernel does not tell
why-failed = failed: { $value }
why-not-understood = { $pieces ->
        [one] one piece was in no known form and was passed over; the rest was read
       *[other] { $pieces } pieces were in no known form and were passed over; the rest was read
    }
why-lines-too-long = { $lines ->
        [one] one line was too long; only its beginning was read
       *[other] { $lines } lines were too long; only their beginnings were read
    }
why-truncated = ends in the middle of something, after { BYTES($bytes) }
why-too-much = { $pieces ->
        [one] more than there is room for; one piece was left out
       *[other] more than there is room for; { $pieces } pieces were left out
    }
why-zone-assumed = its times name no zone; they were read as { ZONE($zone_seconds) }
why-clock-ahead = its clock seems to be { SECONDS($seconds) } { SIGN($seconds) ->
        [negative] behind
       *[other] ahead of
    } the others
why-no-times = its lines bear no date, so nobody knows when they were written

## When a source tells nothing.

gap-no-samples = no samples came
gap-restart = the machine was started anew
gap-rotated = older files were rotated away
gap-lost = the log itself says that messages were lost

## What happened.

server-apache = Apache
server-nginx = nginx
server-php-fpm = php-fpm
service-postfix = Postfix
service-sshd = sshd

event-syn-flooding-message = the kernel printed “possible SYN flooding on port { $port }” ({ $cookies ->
        [yes] sending cookies
       *[no] dropping requests
    })
event-out-of-memory-kill = { $in_group ->
        [yes] `{ $process }` was killed at its control group's memory limit
       *[no] the kernel killed `{ $process }` for want of memory
    }
event-conntrack-full = the table of connection tracking was full, packets were dropped
event-tcp-memory-full = TCP ran out of memory
event-allocation-failure = the kernel found no memory for something of its own
event-stuck = a task or a CPU hung
event-transmit-timeout = the transmit queue of { $interface ->
        [none] an interface
       *[other] { $interface }
    } stood still
event-link-down = { $interface } lost its link
event-link-up = { $interface } got its link
event-neighbour-table-full = the neighbour table (ARP) was full
event-firewall-logged = a firewall rule logged packets{ $port ->
        [none] {""}
       *[other] {" "}to port { $port }
    } (“{ $prefix }”)
event-boot = the machine started
event-clock-set = the clock was set
event-messages-lost = { $messages ->
        [none] messages were left out of the log
        [one] one message was left out of the log
       *[other] { $messages } messages were left out of the log
    }
event-unit-started = { $unit } was started
event-unit-stopped = { $unit } was stopped
event-unit-failed = { $unit } failed{ $result ->
        [none] {""}
       *[other] {" "}({ $result })
    }
event-workers-exhausted = { $server } had no free worker left{ $limit ->
        [none] {""}
       *[other] {" "}(limit { $limit })
    }
event-files-exhausted = { $server } had no more file descriptors
event-backend-timeout = { $server } waited in vain for what is behind it
event-backend-refused = what is behind { $server } refused connections
event-client-too-slow = { $server } gave up on slow clients
event-worker-died = a worker of { $server } died
event-server-restarted = { $server } started or read its settings anew
