# Causes. `cause-NAME` is how it stands in a sentence or, with a capital letter, above its evidence. `meaning-NAME` says what goes on.

cause-spoofed-flood = a SYN flood from scattered, surely spoofed addresses
meaning-spoofed-flood = Somebody sends connection requests (SYNs) with addresses that are not theirs. None is ever completed; each takes a place in the SYN queue until it expires. Blocking addresses is useless, since they change all the time.

cause-concentrated-flood = a SYN flood from few networks
meaning-concentrated-flood = Most of the connection requests that are never completed come from few networks, so these can be blocked. Their addresses may still be spoofed: do not block them for long.

cause-syn-flood = a SYN flood
meaning-syn-flood = Many more connection requests (SYNs) came than were ever completed. Where they came from was not recorded.

cause-connection-flood = a flood of connections that are opened and left idle
meaning-connection-flood = Real addresses complete their connections and then send nothing. Each holds a worker or a descriptor. SYN cookies do not help: these clients do prove that they are there.

cause-slow-readers = clients that read so slowly that they hold the workers
meaning-slow-readers = Clients ask for something and then hardly read the answer. What serves them waits, and is missing to others. It can be meant as an attack, or be many clients on bad lines.

cause-reflection-at-us = SYN-ACKs reflected at this host
meaning-reflection-at-us = Somebody sends SYNs with this host's address to servers elsewhere, and their answers arrive here. Queues do not fill, but packets have to be taken in and are answered with RST.

cause-reflection-through-us = somebody uses this host to reflect SYN-ACKs at a victim
meaning-reflection-through-us = SYNs arrive with the address of a victim, and this host's answers hit that victim. Each SYN-ACK that is repeated makes it worse.

cause-stray-flood = a flood of packets that belong to no connection
meaning-stray-flood = Packets arrive for connections that do not exist. They take no place in a queue, but CPU time, and the kernel answers them with RST.

cause-memory-overcommitted = more workers than fit into memory
meaning-memory-overcommitted = When all workers that the settings allow are running, they need more memory than this machine has. It swaps, each request takes longer, so still more workers are started, and the load rises into the hundreds. This needs no attack: a busy hour is enough.

cause-memory-short = too little memory
meaning-memory-short = Memory ran short, and everything that had to wait for it became slow. What took the memory was not recorded.

cause-workers-exhausted = no free workers
meaning-workers-exhausted = All workers are in use. New connections are completed by the kernel and then wait in the accept queue until a worker is free.

cause-slow-application = an application that accepts connections more slowly than they come
meaning-slow-application = Handshakes are completed, but the application does not fetch the connections, so the accept queue is full and the kernel drops what comes next. To clients this looks like a flood; the cause is inside.

cause-conntrack-full = a full table of connection tracking
meaning-conntrack-full = The firewall remembers each connection in a table, and that table has no more room. New connections are dropped before any service sees them.

cause-burst-over-backlog = a burst of real clients larger than the backlog
meaning-burst-over-backlog = More real clients came within one round trip than the SYN queue holds. The kernel takes that for a flood and says “possible SYN flooding”; for such a burst that is a false alarm. A larger backlog is all it takes.

cause-receive-saturated = more packets than this host can take in
meaning-receive-saturated = Packets are lost before TCP sees them: in the network card, or because a CPU cannot keep up. No setting of a queue or of cookies helps against that.

cause-firewall-limit = a firewall limit that turns regular clients away
meaning-firewall-limit = A rule lets only so many new connections through each second, whoever makes them. As soon as more come, attackers or not, regular clients are turned away at random.

cause-cookies-off = switched-off SYN cookies
meaning-cookies-off = Without SYN cookies a full SYN queue turns everybody away. They cost nothing while there is room.

cause-cookies-inert = SYN cookies that do nothing
meaning-cookies-inert = SYN cookies are switched on, but none goes out or none is accepted. While an accept queue is full the kernel sends none: then the application is what to look at. If they come back wrong, look at what stands in front: a proxy, a firewall, a load balancer.

cause-huge-syn-backlog = a large tcp_max_syn_backlog without effect
meaning-huge-syn-backlog = This setting is often advised, but the kernel does not use it while SYN cookies are on. What counts is the application's backlog and net.core.somaxconn.

cause-synack-retries-high = many repetitions of SYN-ACKs
meaning-synack-retries-high = Each half-open connection is answered several times and stays for long. In a flood that multiplies what the spoofed addresses receive, and keeps the queue full.

cause-rp-filter-expected = an rp_filter that does not keep spoofed addresses out
meaning-rp-filter-expected = Reverse path filtering only drops packets that could not be answered the way they came. On a host with one uplink every address of the Internet passes it, also a spoofed one.

cause-abort-on-overflow = resets as soon as the accept queue is full
meaning-abort-on-overflow = With tcp_abort_on_overflow a client is reset at the first short jam, instead of trying again a second later.

cause-message-alone = the kernel's message, which alone proves nothing
meaning-message-alone = “possible SYN flooding” is printed once for each listening socket, and also when a legitimate burst is larger than the backlog. It does not say that there was an attack, nor when it began, nor how large it was.

cause-record-gap = a gap in the records
meaning-record-gap = A part of the time was not recorded. What happened then is not judged.

cause-clock-doubt = clocks that disagree
meaning-clock-doubt = Records of different sources do not fit together in time, so what came first is uncertain.
