# SPDX-License-Identifier: MIT
# lib.sh - what the scripts share: installing Debian packages and building. Sourced by bash.
# shellcheck shell=bash disable=SC2034

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

build_packages=(gcc libc6-dev meson ninja-build pkg-config
	libevent-dev libhttp-parser-dev libyajl-dev libssl-dev libwebsockets-dev zlib1g-dev libncurses-dev)
# util-linux has setarch, which ThreadSanitizer needs on some kernels, and unshare: some tests mount a tmpfs.
test_packages=("${build_packages[@]}" python3 python3-pytest python3-django python3-websockets python3-pyte
	python3-prometheus-client
	curl openssl mount util-linux)
check_packages=("${build_packages[@]}" g++ binutils clang clang-format mandoc shellcheck)
# What scripts/bench layer compares with.
bench_packages=(g++ libboost-dev libck-dev libhiredis-dev libzmq3-dev redis-server python3-channels-redis)

# Says why on standard error and ends the script.
die()
{
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

# The comment at the top of the calling script, up to the first line that isn't one, is its help.
print_help()
{
	sed -n -e '/^# SPDX/d' -e '1d' -e '/^#/!q' -e 's/^# \{0,1\}//p' "$0"
}

is_installed()
{
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# Installs those of the packages given that are missing; does nothing if all are there.
install_packages()
{
	local package missing=()

	if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
		command -v meson >/dev/null && command -v ninja >/dev/null &&
			pkg-config --exists libevent_core yajl libcrypto libwebsockets zlib ncurses 2>/dev/null && return
		echo "This is no Debian system. Please install what these Debian packages contain:" >&2
		printf '  %s\n' "$@" >&2
		exit 1
	fi
	for package in "$@"; do
		is_installed "$package" || missing+=("$package")
	done
	[ ${#missing[@]} = 0 ] && return

	echo "Installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	local log
	log=$(mktemp)
	if ! as_root apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1 &&
		! { as_root apt-get update && as_root apt-get install -y --no-install-recommends \
			"${missing[@]}"; } >"$log" 2>&1; then
		cat "$log" >&2
		rm -f "$log"
		die "cannot install ${missing[*]}"
	fi
	rm -f "$log"
}

# build DIRECTORY [OPTION OF meson setup]...: configures (once) and compiles, in one line of output
# unless it fails. CC chooses the compiler.
build()
{
	local directory=$1 log
	shift
	log=$(mktemp)
	echo "Building ${directory#"$root/"}"
	if ! { [ -f "$directory/build.ninja" ] || meson setup "$@" "$directory" "$root"; } >"$log" 2>&1 ||
		! ninja --quiet -C "$directory" >"$log" 2>&1; then
		cat "$log" >&2
		rm -f "$log"
		die "the build in $directory failed"
	fi
	rm -f "$log"
}
