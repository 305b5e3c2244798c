#!/bin/sh
# Builds an image with a static program in it and nothing else.   Usage: build-image.sh [NAME[:TAG] [cfp-client]]
set -eu
case ${1:-} in
-h | --help)
    # What stands above.
    sed -n '2,/^[^#]/ { /^#/ s/^# \{0,1\}//p; }' "$0"
    exit 0
    ;;
-*)
    echo "build-image: there is no option $1; --help says what there is" >&2
    exit 2
    ;;
esac
scripts=$(dirname "$0")
program=${2:-cfp-server}
image=${1:-$program}

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
trap 'exit 1' HUP INT TERM

"$scripts/build-static.sh" "$context/$program" "$program"
cp "$scripts/../docs/container/$program.Dockerfile" "$context/Dockerfile"
# An empty folder, which nothing in an image without a shell could make.
mkdir -p -m 755 "$context/folders" "$context/folders/run"
mkdir -m 700 "$context/folders/run/cfp"
# No image is pulled: FROM scratch needs none. If buildx is missing, the builder without it is named.
docker buildx version > /dev/null 2>&1 || export DOCKER_BUILDKIT=0
docker build --network none --tag "$image" "$context"
echo "build-image: $image, $(docker image inspect --format '{{.Size}}' "$image") bytes"
