# Lets cargo run what it builds as root, while it builds as the user: nothing that belongs to root is left in target/. Sourced.
# shellcheck shell=bash

if [ "$(id -u)" != 0 ]; then
	host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
	export "CARGO_TARGET_${host}_RUNNER=sudo --preserve-env"
fi
