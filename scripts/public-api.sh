#!/bin/sh
# Compares what the library offers to bots with docs/public-api.txt, line by line.   Usage: public-api.sh [--write]
# A line that goes or changes is a break (a new major version); a new one is an addition.
set -eu
cd "$(dirname "$0")/.."

file=docs/public-api.txt
command -v cargo-public-api > /dev/null || {
    echo 'public-api: needs cargo-public-api: cargo install --locked cargo-public-api' >&2
    exit 1
}
# Without the server, with TLS, and in a folder of its own: other features would be built anew each time. The stable
# compiler describes a library as JSON only if it is told that it may.
target=target/public-api
RUSTC_BOOTSTRAP=1 cargo rustdoc --locked --quiet --lib --no-default-features --features tls --target-dir "$target" -- \
    -Z unstable-options --output-format json
# Thrice simplified: without what every type has, and what is derived.
cargo public-api --rustdoc-json "$target/doc/cfp.json" -sss > "$target/now.txt"
if [ "${1:-}" = --write ]; then
    cp "$target/now.txt" "$file"
fi
diff -u "$file" "$target/now.txt" || {
    echo 'public-api: the public surface has changed. If that is meant: scripts/public-api.sh --write, and a line in CHANGELOG.md' >&2
    exit 1
}
echo "public-api: $(wc -l < "$file" | tr -d ' ') lines, as before"
