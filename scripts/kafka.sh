#!/usr/bin/env bash
# Apache Kafka as processes of this machine, without Docker: KRaft, the first node
# is broker and controller. Needs Java 17, and Maven for the first start, which
# fetches the jars.
#
#   scripts/kafka.sh start DIR [PORT]   prints host:port,… once it takes requests
#   scripts/kafka.sh stop DIR           as an operator stops it, within 20 s
#   scripts/kafka.sh kill DIR [NODE]    as a power failure does
#
# A second start in DIR goes on with its data, ports and settings; it starts the
# nodes that do not run. From the environment, at the first start:
#
#   KAFKA_NODES=3    so many brokers (1), at PORT, PORT+10, …
#   KAFKA_SECURE=1   also TLS at PORT+2, with client certificates at PORT+3,
#                    SASL over TLS at PORT+4; user "tally", password "tally-secret";
#                    certificates in DIR/tls (openssl)
#   KAFKA_JARS       folder of the jars (~/.cache/tallybook/kafka-VERSION)
#   KAFKA_OPTS       of the JVM (-Xmx512m …)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n 's:^  <version>\(.*\)</version>:\1:p' "$here/kafka/pom.xml")
jars=${KAFKA_JARS:-$HOME/.cache/tallybook/kafka-$version}
read -ra java <<<"java -Dlog4j2.configurationFile=$here/kafka/log4j2.properties ${KAFKA_OPTS:--Xmx512m -XX:+UseSerialGC -XX:-UsePerfData} -cp $jars/*"

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }

fetch_jars() {
	[ -e "$jars/complete" ] && return
	mkdir -p "$jars"
	echo "kafka.sh: fetching Apache Kafka $version by Maven" >&2
	mvn -q -B -f "$here/kafka/pom.xml" dependency:copy-dependencies -DoutputDirectory="$jars" >&2
	touch "$jars/complete"
}

free_port() { # such that the next 29 are free too; below those that connections get
	local port p
	while :; do
		port=$((10000 + RANDOM % 20000))
		for ((p = port; p < port + 30; p++)); do
			if (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null; then continue 2; fi
		done
		echo $port && return
	done
}

certificates() {
	mkdir -p "$dir/tls" && cd "$dir/tls"
	openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=tallybook-test-ca -keyout ca.key -out ca.pem 2>/dev/null
	issue broker "subjectAltName=IP:127.0.0.1,DNS:localhost" 3650
	issue client "extendedKeyUsage=clientAuth" 3650
	issue stranger "extendedKeyUsage=clientAuth" 3650 self
	cat broker.key broker.crt >broker.pem
	cd - >/dev/null
}

issue() { # NAME EXTENSION DAYS [self]
	openssl req -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr" 2>/dev/null
	local by=(-CA ca.pem -CAkey ca.key -CAcreateserial)
	[ -z "${4:-}" ] || by=(-signkey "$1.key")
	openssl x509 -req -in "$1.csr" "${by[@]}" -days "$3" -extfile <(echo "$2") -out "$1.crt" 2>/dev/null
	rm "$1.csr"
}

configure() { # NODE
	local node=$1 base=$((port + 10 * ($1 - 1))) roles=broker listeners protocols=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
	local replicas=$((nodes < 3 ? 1 : 3)) insync=$((nodes < 3 ? 1 : 2))
	listeners=PLAINTEXT://127.0.0.1:$base
	[ -z "$secure" ] || listeners+=,TLS://127.0.0.1:$((base + 2)),MUTUAL://127.0.0.1:$((base + 3)),SASL://127.0.0.1:$((base + 4))
	local advertised=$listeners
	if [ "$node" = 1 ]; then roles=broker,controller listeners+=,CONTROLLER://127.0.0.1:$((port + 1)); fi
	mkdir -p "$dir/$node"
	cat >"$dir/$node/server.properties" <<-EOF
		process.roles=$roles
		node.id=$node
		controller.quorum.voters=1@127.0.0.1:$((port + 1))
		controller.listener.names=CONTROLLER
		listeners=$listeners
		advertised.listeners=$advertised
		listener.security.protocol.map=$protocols${secure:+,TLS:SSL,MUTUAL:SSL,SASL:SASL_SSL}
		log.dirs=$dir/$node/log
		auto.create.topics.enable=false
		offsets.topic.num.partitions=4
		offsets.topic.replication.factor=$replicas
		transaction.state.log.num.partitions=4
		transaction.state.log.replication.factor=$replicas
		transaction.state.log.min.isr=$insync
		group.initial.rebalance.delay.ms=0
		broker.session.timeout.ms=6000
	EOF
	[ -z "$secure" ] || cat >>"$dir/$node/server.properties" <<-EOF
		ssl.keystore.type=PEM
		ssl.keystore.location=$dir/tls/broker.pem
		ssl.truststore.type=PEM
		ssl.truststore.location=$dir/tls/ca.pem
		listener.name.mutual.ssl.client.auth=required
		sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
		listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_tally="tally-secret";
		listener.name.sasl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
		listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
	EOF
	"${java[@]}" kafka.tools.StorageTool format -t "$(cat "$dir/cluster")" -c "$dir/$node/server.properties" \
		--add-scram "SCRAM-SHA-256=[name=\"tally\",password=\"tally-secret\"]" --add-scram "SCRAM-SHA-512=[name=\"tally\",password=\"tally-secret\"]" >"$dir/$node/format.out" 2>&1 ||
		{ cat "$dir/$node/format.out" >&2; exit 1; }
}

runs() { [ -e "$dir/$1/pid" ] && kill -0 "$(cat "$dir/$1/pid")" 2>/dev/null; }

start() {
	fetch_jars
	if [ ! -e "$dir/settings" ]; then
		mkdir -p "$dir"
		port=${1:-$(free_port)} nodes=${KAFKA_NODES:-1} secure=${KAFKA_SECURE:-}
		[ -z "$secure" ] || certificates
		head -c 16 /dev/urandom | base64 | tr '+/' AB | tr -d = >"$dir/cluster"
		for ((n = 1; n <= nodes; n++)); do configure "$n"; done
		echo "port=$port nodes=$nodes secure=$secure" >"$dir/settings"
	fi
	. "$dir/settings"
	local n started=()
	for ((n = 1; n <= nodes; n++)); do
		runs "$n" && continue
		# In a session of its own: Ctrl-C of the caller's terminal is not for the broker.
		setsid "$0" node "$dir" "$n" >"$dir/$n/kafka.log" 2>&1 </dev/null &
		echo $! >"$dir/$n/pid"
		started+=("$n")
	done
	for n in "${started[@]}"; do await "$n"; done
	for ((n = 1; n <= nodes; n++)); do printf '%s127.0.0.1:%d' "$([ "$n" = 1 ] || echo ,)" $((port + 10 * (n - 1))); done
	echo
}

await() { # NODE
	local end=$((SECONDS + 180)) # some seconds, where the machine is not busy with other things
	until grep -q 'Kafka Server started' "$dir/$1/kafka.log"; do
		if ! runs "$1" || [ $SECONDS -ge $end ]; then
			echo "kafka.sh: node $1 does not start:" >&2
			tail -n 20 "$dir/$1/kafka.log" >&2
			exit 1
		fi
		sleep 0.1
	done
}

stop() { # SIGNAL [NODE]
	local n=${2:-*} pid
	for file in "$dir"/$n/pid; do
		[ -e "$file" ] || continue
		pid=$(cat "$file")
		kill "-$1" "$pid" 2>/dev/null || { rm "$file"; continue; }
	done
	for file in "$dir"/$n/pid; do
		[ -e "$file" ] || continue
		pid=$(cat "$file")
		for ((i = 0; i < 200; i++)); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
		kill -KILL "$pid" 2>/dev/null || true
		rm "$file"
	done
}

[ $# -ge 2 ] || usage
command=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
shift 2
case $command in
start) start "$@" ;;
stop) stop TERM "$@" ;;
kill) stop KILL "$@" ;;
node) exec "${java[@]}" kafka.Kafka "$dir/$1/server.properties" ;;
*) usage ;;
esac
