# What the guest's checks may use. Sourced by dash: `sh`, not bash.
# shellcheck shell=dash
#
# The network, all in one machine:
#
#     client (198.51.100.1) ---- eth0  server (198.51.100.10, 203.0.113.10)  eth1 ---- silent (203.0.113.1)
#
# Sekisho protects the server's eth0. SYNs from `silent` come in by eth1, which it does not protect, and the server's answers
# to them go to a hardware address that nobody has: each leaves an entry in the listener's SYN queue. That is how a queue is filled
# here without a packet generator.

server=198.51.100.10
server6=2001:db8:51::10
daemon_pid=/run/daemon.pid

in_server() { ip netns exec server "$@"; }
in_client() { ip netns exec client "$@"; }
in_silent() { ip netns exec silent "$@"; }

lay_network() {
	for name in server client silent; do
		ip netns add $name && ip -n $name link set lo up || return 1
	done
	ip -n server link add eth0 type veth peer name eth0 netns client &&
		ip -n server link add eth1 type veth peer name eth0 netns silent || return 1
	address server eth0 $server/24 $server6/64
	address server eth1 203.0.113.10/24 2001:db8:71::10/64
	address client eth0 198.51.100.1/24 2001:db8:51::1/64
	address silent eth0 203.0.113.1/24 2001:db8:71::1/64
	# A veth sends what XDP answers only if its other end runs an XDP program too.
	ip -n client link set dev eth0 xdp object /pass.o section xdp
	ip -n server neighbour replace 203.0.113.1 lladdr 02:00:00:00:00:66 dev eth1 nud permanent
	until_true 10 in_client ping -c 1 -W 1 $server
}

# address NAMESPACE INTERFACE IPV4 IPV6
address() {
	ip -n "$1" address add "$3" dev "$2"
	ip -n "$1" address add "$4" dev "$2" nodad
	ip -n "$1" link set "$2" up
}

# until_true SECONDS COMMAND...: tries the command until it succeeds; at least once, and for about that long.
until_true() {
	deadline=$(($(cut -d . -f 1 /proc/uptime) + $1))
	shift
	while ! "$@" >/dev/null 2>&1; do
		[ "$(cut -d . -f 1 /proc/uptime)" -lt $deadline ] || { echo "never came true: $*"; return 1; }
		sleep 0.2
	done
}

# A web server on port 80 of the server, with a page of 100 kB.
start_server() {
	mkdir -p /tmp/web
	head -c 100000 /dev/zero | tr '\0' x >/tmp/web/page
	in_server httpd -f -p "[::]:80" -h /tmp/web &
	until_true 10 fetch_page "$server"
}

fetch_page() { [ "$(in_client curl -s -g -m 10 "http://$1/page" | wc -c)" = 100000 ]; }

start_sekisho() {
	ip netns exec server sekisho run --interface eth0 >/tmp/sekisho.log 2>&1 & # not in_server, whose pid would be a shell's
	echo $! >$daemon_pid
	until_true 60 protected_by_daemon || { cat /tmp/sekisho.log; return 1; }
}

# The status as JSON, without white space, so that it can be searched for "key":value.
status() { in_server sekisho status --json | tr -d ' \n'; }
protected_by_daemon() { status | grep -q '"protected":true' && status | grep -Eq '"daemon":[0-9]'; }
daemon_gone() { status | grep -q '"daemon":null'; }

# counted VERDICT: how many packets met it.
counted() { status | sed -n "s/.*\"name\":\"$1\",[^}]*\"count\":\([0-9]*\).*/\1/p"; }

# half_open N: fills the server's SYN queue with N handshakes that nobody completes.
half_open() {
	for _ in $(seq "$1"); do in_silent curl -s -m 60 http://203.0.113.10/ >/dev/null 2>&1 & done
}

# syn_queue_holds N: whether the server has at least N half-open connections.
syn_queue_holds() { [ "$(in_server ss -Hnt state syn-recv | wc -l)" -ge "$1" ]; }
