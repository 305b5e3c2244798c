#!/bin/sh
# Installs the Debian packages in a container, runs both programs, upgrades, removes and purges them.
# Usage: check-deb.sh [FOLDER]      (with packages that are built already; else it builds them)
set -eu
case ${1:-} in
-h | --help)
    # What stands above.
    sed -n '2,/^[^#]/ { /^#/ s/^# \{0,1\}//p; }' "$0"
    exit 0
    ;;
-*)
    echo "check-deb: there is no option $1; --help says what there is" >&2
    exit 2
    ;;
esac
cd "$(dirname "$0")/.."

fail() {
    echo "check-deb: $*" >&2
    exit 1
}

skip() {
    echo "check-deb: SKIPPED, $*"
    exit 0
}

docker info > /dev/null 2>&1 || skip 'there is no Docker here'
[ "$(id -u)" = 0 ] || skip 'only root can make a Debian to install them in'
[ -r /etc/debian_version ] || skip 'this is no Debian, and the packages are built for the Debian that builds them'
for program in mmdebstrap dpkg-shlibdeps cargo-deb; do
    command -v $program > /dev/null || skip "there is no $program here"
done

work=$(mktemp -d)
image=cfp-deb:check$$
trap 'docker rmi "$image" > /dev/null 2>&1 || true; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

folder=${1:-}
if [ -z "$folder" ]; then
    folder=$work/packages
    scripts/build-deb.sh "$folder"
fi
set -- "$folder"/cfp-server_*.deb "$folder"/cfp-client_*.deb
[ -e "$1" ] && [ -e "$2" ] && [ $# -eq 2 ] || fail "$folder must have one package of each program"

# shellcheck source=/dev/null
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
echo "check-deb: making a small Debian ($suite)"
mmdebstrap --quiet --variant=essential --include=systemd-standalone-sysusers "$suite" "$work/root.tar" \
    http://deb.debian.org/debian || skip "no Debian could be made from the archive's packages"
docker import "$work/root.tar" "$image" > /dev/null

# What follows runs in the container.
docker run --rm --interactive --network none --volume "$(cd "$folder" && pwd):/packages:ro" "$image" sh -eu <<'INSIDE'
export DEBIAN_FRONTEND=noninteractive
fail() {
    echo "check-deb: $*" >&2
    exit 1
}

# All files, but for those that every package changes, and those that users and programs leave behind.
list_files() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /packages -o -path /tmp \) -prune -o -print |
        grep -Ev '^/(var/lib/dpkg|var/log|var/cache|run)(/|$)|^/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|/\.pwd\.lock$' |
        sort
}

are_there() {
    for file in "$@"; do
        [ -e "$file" ] || fail "$file is not there"
    done
}

# In front of a command: the user of the server.
as_server='setpriv --reuid=cfp --regid=cfp --clear-groups'

list_files > /tmp/before

dpkg --install /packages/cfp-server_*.deb /packages/cfp-client_*.deb > /tmp/dpkg 2>&1 || fail "$(cat /tmp/dpkg)"
id cfp > /dev/null || fail 'there is no user cfp'
[ "$(stat -c %U:%G:%a /etc/cfp)" = root:cfp:2750 ] || fail "/etc/cfp: $(stat -c %U:%G:%a /etc/cfp)"
for program in cfp-server cfp-client; do
    are_there /usr/bin/$program /usr/share/man/man1/$program.1.gz /usr/share/bash-completion/completions/$program \
        /usr/share/zsh/vendor-completions/_$program /usr/share/fish/vendor_completions.d/$program.fish \
        /usr/share/doc/$program/copyright
    $program --version
done
are_there /usr/share/man/man5/cfp.5.gz
dpkg-query --show --showformat '${Conffiles}\n' cfp-server | grep -q ' /etc/default/cfp-server ' ||
    fail '/etc/default/cfp-server is no conffile'
# This is how the start of the machine starts the unit.
are_there /etc/systemd/system/multi-user.target.wants/cfp-server.service
unit=$(readlink -f /etc/systemd/system/multi-user.target.wants/cfp-server.service)
grep -qx 'EnvironmentFile=-/etc/default/cfp-server' "$unit" || fail "$unit does not read /etc/default/cfp-server"
! dpkg-query --show --showformat '${Conffiles}' cfp-client | grep -q . || fail 'the client has conffiles'

# An operator changes the settings and adds a user whom the server may read of.
sed -i 's/^#CFP_ID=.*/CFP_ID=7/; s/^#CFP_LISTEN=.*/CFP_LISTEN=127.0.0.1:7777/; s/^#CFP_USERS=.*/CFP_USERS=\/etc\/cfp\/users/' \
    /etc/default/cfp-server
echo 'open sesame' | cfp-server --users /etc/cfp/users --add-user maria
chmod 640 /etc/cfp/users
set -a
. /etc/default/cfp-server
set +a
$as_server cfp-server --check
$as_server cfp-server 2> /tmp/log &
server=$!
tries=0
until grep -q 'server 7 listens on 127.0.0.1:7777' /tmp/log; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] && kill -0 $server || fail "the server does not start: $(cat /tmp/log)"
    sleep 0.1
done
echo 'open sesame' > /tmp/password
echo hi | cfp-client --password-file /tmp/password 127.0.0.1:7777 maria > /tmp/said 2>&1 || fail "$(cat /tmp/said)"
grep -qF '[7] maria: hi' /tmp/said || fail "the client says: $(cat /tmp/said)"
kill $server
wait $server || fail "the server ended with $?: $(cat /tmp/log)"

# An upgrade keeps the settings, and so does a removal.
settings=$(cksum < /etc/default/cfp-server)
dpkg --install /packages/cfp-server_*.deb > /tmp/dpkg 2>&1 || fail "$(cat /tmp/dpkg)"
[ "$(cksum < /etc/default/cfp-server)" = "$settings" ] || fail 'an upgrade changed the settings'
dpkg --remove cfp-server cfp-client > /tmp/dpkg 2>&1 || fail "$(cat /tmp/dpkg)"
[ ! -e /usr/bin/cfp-server ] && [ ! -e /usr/bin/cfp-client ] || fail 'a removed program is still there'
[ "$(cksum < /etc/default/cfp-server)" = "$settings" ] || fail 'a removal changed the settings'
[ "$(stat -c %G:%a /etc/cfp/users)" = cfp:640 ] || fail 'a removal changed the users'

# A purge takes the settings, and leaves what an operator has made.
dpkg --purge cfp-server cfp-client > /tmp/dpkg 2>&1 || fail "$(cat /tmp/dpkg)"
[ -e /etc/cfp/users ] || fail 'a purge took the users'
rm -r /etc/cfp
dpkg --install /packages/cfp-server_*.deb > /tmp/dpkg 2>&1 || fail "$(cat /tmp/dpkg)"
dpkg --purge cfp-server > /tmp/dpkg 2>&1 || fail "$(cat /tmp/dpkg)"
list_files > /tmp/after
diff /tmp/before /tmp/after || fail 'a purge leaves files behind'
INSIDE
echo 'check-deb: fine'
