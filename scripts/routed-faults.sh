#!/bin/sh
# Routed servers on hosts of their own, which are network namespaces: three in a row behind a firewall, and a ring with
# a link that is reset, or whose packets are dropped.
# Usage: routed-faults.sh      (CFP_RESETS: resets of a link, 40)
set -eu
cd "$(dirname "$0")/.."

for program in ip ss iptables; do
    if ! command -v $program > /dev/null; then
        echo "routed-faults: SKIPPED, there is no $program here"
        exit 0
    fi
done
space=cfp-try-$$
if ! ip netns add $space 2> /dev/null; then
    echo 'routed-faults: SKIPPED, no network namespaces can be made here'
    exit 0
fi
may_cut=yes
ip netns exec $space iptables -A INPUT -s 192.0.2.1 -j DROP 2> /dev/null || may_cut=no
ip netns del $space
if [ $may_cut = no ]; then
    echo 'routed-faults: SKIPPED, iptables does not work here'
    exit 0
fi
cargo test --locked --test apart -- --ignored --nocapture
