#!/usr/bin/env bash
# A PostgreSQL server of one's own, from Debian's packages, for tests and for
# trying a cluster on one machine. Anybody on this machine may connect: it
# listens on loopback alone and asks for no password.
#
#   scripts/postgres.sh install            Debian's package, where it is missing
#   scripts/postgres.sh start DIR [PORT]   makes DIR where it is new, starts, prints a URL;
#                                          without PORT a free one, DIR's own when it is started again
#   scripts/postgres.sh stop DIR [MODE]    fast (default), smart or immediate
#   scripts/postgres.sh remove DIR         stops it and deletes DIR
#   scripts/postgres.sh with COMMAND…      runs a command with POSTGRES_TEST_URL set
#                                          to a server that does not sync and is gone afterwards
#
# As root the server runs as the user postgres, which Debian's package makes:
# PostgreSQL refuses to be root. PGOPTIONS_SERVER holds more options for it.
set -euo pipefail

bin() {
	local newest
	newest=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
	if [ -n "$newest" ]; then echo "$newest"; else dirname "$(command -v initdb)"; fi
}

as_owner() { # COMMAND…, as the user that the server runs as
	if [ "$(id -u)" = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}

install() {
	if ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && ! command -v initdb >/dev/null; then
		local sudo=
		[ "$(id -u)" = 0 ] || sudo=sudo
		$sudo apt-get update -qq
		$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null
	fi
}

free_port() {
	local port
	while :; do
		port=$((20000 + RANDOM % 12000)) # below the ports that the system gives out
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
	done
}

start() {
	local dir=$1 port=${2:-}
	mkdir -p "$dir"
	dir=$(cd "$dir" && pwd)
	if [ "$(id -u)" = 0 ]; then chown postgres "$dir"; fi
	if [ ! -s "$dir/data/PG_VERSION" ]; then
		as_owner "$(bin)/initdb" -D "$dir/data" -U tallybook -A trust -E UTF8 --no-locale ${INITDB_OPTIONS:-} >/dev/null
	fi
	if [ -z "$port" ] && [ -s "$dir/port" ]; then port=$(cat "$dir/port"); fi
	[ -n "$port" ] || port=$(free_port)
	echo "$port" >"$dir/port"
	as_owner "$(bin)/pg_ctl" -D "$dir/data" -s -w -t 60 -l "$dir/data/server.log" \
		-o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories= ${PGOPTIONS_SERVER:-}" start >/dev/null
	as_owner "$(bin)/psql" -h 127.0.0.1 -p "$port" -U tallybook -d postgres -qAtc \
		"SELECT 'CREATE DATABASE tallybook' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'tallybook')" |
		as_owner "$(bin)/psql" -h 127.0.0.1 -p "$port" -U tallybook -d postgres -q
	echo "postgres://tallybook@127.0.0.1:$port/tallybook?sslmode=disable"
}

stop() {
	[ ! -s "$1/data/postmaster.pid" ] || as_owner "$(bin)/pg_ctl" -D "$(cd "$1" && pwd)/data" -s -m "${2:-fast}" stop
}

remove() {
	stop "$1" immediate || true
	rm -rf "$1"
}

with() {
	local dir
	dir=$(mktemp -d "${TMPDIR:-/tmp}/tallybook-postgres-XXXXXX")
	chmod 755 "$dir"
	trap "remove '$dir'" EXIT
	export POSTGRES_TEST_URL
	# Tests do not cut the power: without fsync they take half of the time.
	INITDB_OPTIONS=-N POSTGRES_TEST_URL=$(PGOPTIONS_SERVER="-c fsync=off -c full_page_writes=off -c max_connections=300 ${PGOPTIONS_SERVER:-}" start "$dir")
	"$@"
}

command=${1:-}
case $command in
install | start | stop | remove | with) shift && "$command" "$@" ;;
*) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 2 ;;
esac
