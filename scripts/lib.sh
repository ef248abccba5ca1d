# What the scripts share: words on the terminal, becoming root, and Debian's packages. Sourced, never run.
# shellcheck shell=bash

set -euo pipefail

# A user's own Rust comes before the distribution's: rustup puts it here, and `sudo` or a bare login shell may not look there.
PATH="$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin"

say() { printf '%s\n' "$*" >&2; }

# Ends the script; every further argument is one line of hint.
fail() {
	say "error: $1"
	shift
	local hint
	for hint in "$@"; do say "hint: $hint"; done
	exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif have sudo; then
		sudo --preserve-env=DEBIAN_FRONTEND "$@"
	else
		fail "root is needed for: $*" "run this as root, or install sudo"
	fi
}

# Prints those of the given Debian packages that are not installed.
missing_packages() {
	local package state
	for package in "$@"; do
		state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=absent
		[ "$state" = installed ] || printf '%s\n' "$package"
	done
}

# Installs packages without a question. The package lists are fetched only if apt does not know a package, or if what its lists
# name is no longer there.
install_packages() {
	have apt-get || fail "these packages are needed: $*" \
		"this script knows Debian 12 and 13 only; install their like by your system's own means"
	say "installing: $*"
	export DEBIAN_FRONTEND=noninteractive
	local install=(apt-get install -y -q --no-install-recommends)
	if ! apt-cache show "$@" >/dev/null 2>&1; then
		as_root apt-get update -q
	fi
	as_root "${install[@]}" "$@" >&2 && return
	as_root apt-get update -q
	as_root "${install[@]}" "$@" >&2 || fail "apt-get could not install: $*"
}
