#!/bin/sh
# Builds the image and tests it in containers: nothing allowed, process 1, health, and faults between hosts.
# Usage: container-faults.sh      (CFP_IMAGE: an image that is built already;
#                                  CFP_CYCLES: cuts and heals, 20; CFP_MESHES: in so many meshes at once, 4)
set -eu
cd "$(dirname "$0")/.."

if ! docker info > /dev/null 2>&1; then
    echo 'container-faults: SKIPPED, there is no Docker here'
    exit 0
fi
built=''
trap '[ -z "$built" ] || docker rmi "$built" > /dev/null' EXIT
trap 'exit 1' HUP INT TERM
if [ -z "${CFP_IMAGE:-}" ]; then
    CFP_IMAGE=cfp-server:faults$$
    scripts/build-image.sh "$CFP_IMAGE"
    built=$CFP_IMAGE
fi
export CFP_IMAGE
# Two at once: the containers share the processor, and some tests mostly wait.
cargo test --locked --test container -- --ignored --test-threads=2 --nocapture
