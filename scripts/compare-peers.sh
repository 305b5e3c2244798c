#!/bin/sh
# Measures other chat servers beside cfp-server and the floor, in the same rooms and in the same run: those of
# redis-server, nats-server and mosquitto that are installed. Options are those of "cfp-bench all", such as --runs 3.
# With --tls: cfp-server without and with TLS, and the others with it.
#
#   sh scripts/compare-peers.sh [--tls] [OPTIONS]
set -eu
cd "$(dirname "$0")/.."

cargo build --release --bin cfp-server
cargo build --release --features bench --bin cfp-bench

# Debian's folder for servers, which may be missing from the path.
PATH="$PATH:/usr/sbin:/usr/local/sbin"
missing=
peers='redis-server nats-server mosquitto'
for option in "$@"; do
    # A client of NATS begins without TLS, which is another workload.
    [ "$option" != --tls ] || peers='redis-server mosquitto'
done
for peer in $peers; do
    if command -v "$peer" >/dev/null; then
        set -- "$@" --peer "$peer"
    else
        missing="$missing $peer"
    fi
done
if [ -n "$missing" ]; then
    echo "not installed, and left out:$missing" >&2
fi
exec target/release/cfp-bench all "$@"
