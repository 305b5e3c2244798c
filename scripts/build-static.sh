#!/bin/sh
# Builds a static cfp-server and puts it into FILE.   Usage: build-static.sh [FILE [PROGRAM [FEATURES]]]
#
# With musl if that target is installed for Rust, else with glibc. The server needs nothing of either that a static
# program lacks: it looks names up by itself, and has users of its own only.
set -eu
case ${1:-} in
-h | --help)
    # What stands above.
    sed -n '2,/^[^#]/ { /^#/ s/^# \{0,1\}//p; }' "$0"
    exit 0
    ;;
-*)
    echo "build-static: there is no option $1; --help says what there is" >&2
    exit 2
    ;;
esac
cd "$(dirname "$0")/.."

fail() {
    echo "build-static: $*" >&2
    exit 1
}

program=${2:-cfp-server}
file=${1:-target/static/$program}
case $program in
    cfp-server) features='' ;;
    cfp-client) features=client ;;
    cfp-conform) features=conform ;;
    *) fail "there is no program $program" ;;
esac
features=${3:-$features}
arch=$(rustc -vV | sed -n 's/^host: \([^-]*\)-.*/\1/p')
libraries=$(rustc --print sysroot)/lib/rustlib
if [ -d "$libraries/$arch-unknown-linux-musl" ]; then
    libc=musl target=$arch-unknown-linux-musl
elif [ -d "$libraries/$arch-unknown-linux-gnu" ]; then
    libc=glibc target=$arch-unknown-linux-gnu
else
    fail "Rust has no Linux target for $arch installed"
fi

# A program that aborts on a panic needs no tables for unwinding.
flags='-C target-feature=+crt-static -C force-unwind-tables=no'
# Nor 24 bytes for each address in its data, if the start-up code understands the short form: glibc's does since 2.36.
if [ "$libc" = glibc ] && [ "$(printf '%s\n' 2.36 "$(getconf GNU_LIBC_VERSION | cut -d ' ' -f 2)" | sort -V | head -n 1)" = 2.36 ]
then
    flags="$flags -C link-arg=-Wl,-z,pack-relative-relocs"
fi
# The target is named so that the flags reach only the program: build scripts and procedural macros cannot be static.
RUSTFLAGS="${RUSTFLAGS:-} $flags" \
    cargo build --locked --release --target "$target" --features "$features" --bin "$program"
built=${CARGO_TARGET_DIR:-target}/$target/release/$program

# Static means that no loader is asked for.
if LC_ALL=C readelf -lW "$built" 2>/dev/null | grep -q INTERP; then
    fail "$built asks for a loader: it is not static"
fi
case $(LC_ALL=C ldd "$built" 2>&1 || true) in
    *'=>'*) fail "$built needs libraries: it is not static" ;;
esac
mkdir -p "$(dirname "$file")"
cp "$built" "$file"
echo "build-static: $file, $(wc -c < "$file" | tr -d ' ') bytes, static with $libc"
