#!/bin/sh
# Builds a release: an archive of the static programs and what belongs to them, a list of what is in each program (SBOM,
# CycloneDX), and checksums.   Usage: build-release.sh [FOLDER]      (default target/release-archive)
set -eu
case ${1:-} in
-h | --help)
    # What stands above.
    sed -n '2,/^[^#]/ { /^#/ s/^# \{0,1\}//p; }' "$0"
    exit 0
    ;;
-*)
    echo "build-release: there is no option $1; --help says what there is" >&2
    exit 2
    ;;
esac
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
arch=$(rustc -vV | sed -n 's/^host: \([^-]*\)-.*/\1/p')
name=cfp-$version-linux-$arch
folder=${1:-target/release-archive}
# The times in the archive are that of the commit, so that the same programs make the same archive.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2> /dev/null || date +%s)}
export SOURCE_DATE_EPOCH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
root=$work/$name

install -d "$folder" "$root/bin"
for program in cfp-server cfp-client cfp-conform; do
    case $program in
        cfp-server) features=tls ;;
        cfp-client) features=client,tls ;;
        cfp-conform) features=conform,tls ;;
    esac
    said=$(scripts/build-static.sh "$root/bin/$program" $program $features)
    echo "$said"
    target=$arch-unknown-linux-gnu
    case $said in *musl) target=$arch-unknown-linux-musl ;; esac
    python3 scripts/sbom.py $program "$root/bin/$program" "$target" $features > "$folder/$program-$version-linux-$arch.cdx.json"
done
install -D -m 644 -t "$root/share/man/man1" docs/cfp-server.1 docs/cfp-client.1 docs/cfp-conform.1
install -D -m 644 -t "$root/share/man/man5" docs/cfp.5
install -D -m 644 -t "$root/share/doc/cfp" README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE docs/operations.md \
    docs/protocol.md docs/client.md docs/conform.md docs/alerts.yml docs/grafana.json
for program in cfp-server cfp-client cfp-conform; do
    install -D -m 644 docs/completions/$program.bash "$root/share/bash-completion/completions/$program"
    install -D -m 644 -t "$root/share/zsh/site-functions" docs/completions/_$program
    install -D -m 644 -t "$root/share/fish/vendor_completions.d" docs/completions/$program.fish
done
# They belong outside of /usr/local, under which the rest is unpacked.
install -D -m 644 docs/cfp-server.service "$root/share/cfp/cfp-server.service"
install -D -m 644 docs/debian/cfp-server.default "$root/share/cfp/etc-default-cfp-server"

tar --directory "$work" --sort=name --owner=0 --group=0 --numeric-owner --mode=go-w --mtime="@$SOURCE_DATE_EPOCH" \
    --create "$name" | gzip -n -9 > "$folder/$name.tar.gz"
(cd "$folder" && sha256sum "$name.tar.gz" ./*-"$version-linux-$arch.cdx.json" | sed 's, \./, ,' > "$name.SHA256SUMS")

# As somebody would who has it from us.
tar --directory "$work" --extract --gzip --file "$folder/$name.tar.gz" --one-top-level=unpacked
(cd "$folder" && sha256sum --check --quiet "$name.SHA256SUMS")
for program in cfp-server cfp-client cfp-conform; do
    [ "$("$work/unpacked/$name/bin/$program" --version)" = "$program $version" ]
    # The list is of this very program.
    grep -q "$(sha256sum < "$work/unpacked/$name/bin/$program" | cut -d ' ' -f 1)" "$folder/$program-$version-linux-$arch.cdx.json"
done
echo "build-release: $folder/$name.tar.gz, $(wc -c < "$folder/$name.tar.gz" | tr -d ' ') bytes"
