#!/bin/sh
# Builds the Debian packages of the server and the client.   Usage: build-deb.sh [FOLDER]    (default target/debian)
set -eu
case ${1:-} in
-h | --help)
    # What stands above.
    sed -n '2,/^[^#]/ { /^#/ s/^# \{0,1\}//p; }' "$0"
    exit 0
    ;;
-*)
    echo "build-deb: there is no option $1; --help says what there is" >&2
    exit 2
    ;;
esac
cd "$(dirname "$0")/.."

fail() {
    echo "build-deb: $*" >&2
    exit 1
}

folder=${1:-target/debian}
command -v cargo-deb > /dev/null || fail 'needs cargo-deb: cargo install --locked cargo-deb'
# What it finds the libraries' packages with.
command -v dpkg-shlibdeps > /dev/null || fail 'needs dpkg-shlibdeps: apt-get install dpkg-dev'
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
head -n 1 docs/debian/changelog | grep -qF "cfp-server ($version-1)" || fail "docs/debian/changelog does not begin with $version-1"
mkdir -p "$folder"
cargo build --locked --release --bin cfp-server
cargo deb --locked --quiet --no-build --output "$folder/"
cargo build --locked --release --features client --bin cfp-client
cargo deb --locked --quiet --no-build --variant client --output "$folder/"
for package in "$folder"/*.deb; do
    echo "build-deb: $package, $(wc -c < "$package" | tr -d ' ') bytes"
done
