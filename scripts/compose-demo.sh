#!/bin/sh
# Three servers in containers merge by name, with TLS and certificates of their own CA; two clients in containers of
# their own talk through two of them.
# Usage: compose-demo.sh                      (CFP_IMAGE and CFP_CLIENT_IMAGE: images that are built already)
#        compose-demo.sh certificates DIR     only makes the folder with the servers' certificates
set -eu
scripts=$(dirname "$0")
# Tenths of a second that a wait may take.
patience=600

fail() {
    echo "compose-demo: $*" >&2
    exit 1
}

# A folder for each server: its certificate and key, and the CA's certificate. The CA's key stays outside of them.
make_certificates() {
    mkdir -p "$1"
    for server in 1:anna 2:berta 3:clara; do
        id=${server%:*} name=${server#*:}
        "$scripts/make-peer-ca.sh" "$1" "$id" "$name" localhost 127.0.0.1
        mkdir -p "$1/$name"
        cp "$1/peer-ca.pem" "$1/$name/"
        mv "$1/cfp-$id.pem" "$1/$name/cert.pem"
        mv "$1/cfp-$id.key" "$1/$name/key.pem"
        chmod 755 "$1/$name"
        # The user of the image reads the key: he alone, if we may give it to him.
        chown 65532 "$1/$name/key.pem" 2> /dev/null || chmod 644 "$1/$name/key.pem"
    done
}

if [ "${1:-}" = certificates ]; then
    make_certificates "${2:?usage: compose-demo.sh certificates DIR}"
    exit 0
fi

if ! docker info > /dev/null 2>&1; then
    echo 'compose-demo: SKIPPED, there is no Docker here'
    exit 0
fi
if docker compose version > /dev/null 2>&1; then
    compose='docker compose'
elif docker-compose version > /dev/null 2>&1; then
    compose=docker-compose
else
    echo 'compose-demo: SKIPPED, there is no docker-compose here'
    exit 0
fi

# Containers, network and images are named after this process, so that no others are ever touched.
project=cfpdemo$$
work=$(mktemp -d)
mkfifo "$work/ana.in"
make_certificates "$work/tls"
built=''

compose() {
    $compose --project-name "$project" --file "$scripts/../docs/container/docker-compose.yml" "$@"
}

clean_up() {
    docker rm -f "$project-ana" "$project-bob" > /dev/null 2>&1 || true
    compose down --volumes > "$work/down" 2>&1 || cat "$work/down" >&2
    for image in $built; do
        docker rmi "$image" > /dev/null || true
    done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

if [ -z "${CFP_IMAGE:-}" ]; then
    CFP_IMAGE=cfp-server:$project built="$built cfp-server:$project"
    "$scripts/build-image.sh" "$CFP_IMAGE"
fi
if [ -z "${CFP_CLIENT_IMAGE:-}" ]; then
    CFP_CLIENT_IMAGE=cfp-client:$project built="$built cfp-client:$project"
    "$scripts/build-image.sh" "$CFP_CLIENT_IMAGE" cfp-client
fi
export CFP_IMAGE CFP_TLS="$work/tls"
# Ports that no other program uses.
export CFP_PORT_ANNA=0 CFP_PORT_BERTA=0 CFP_PORT_CLARA=0

pause() {
    sleep 0.1 2>/dev/null || sleep 1
}

# Waits for a command to succeed.   until_done WHAT COMMAND…
until_done() {
    what=$1 tries=0
    shift
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt "$patience" ] || fail "gave up waiting: $what"
        pause
    done
}

ask() {
    docker exec "$(compose ps -q "$1")" /cfp-server --control /run/cfp/control --ask "$2"
}

is_merged() {
    [ "$(ask "$1" siblings 2>/dev/null | grep -c linked)" -eq 2 ]
}

address() {
    docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$(compose ps -q "$1")"
}

# A client in a container of its own: it gets the server's address, since a static glibc can't look names up.
client() {
    docker run --rm -i --name "$project-$2" --network "${project}_mesh" --volume "$work/tls/peer-ca.pem:/peer-ca.pem:ro" \
        "$CFP_CLIENT_IMAGE" --tls --ca /peer-ca.pem --tls-name "$1" "$(address "$1"):7777" "$2"
}

has_said() {
    grep -q "$2" "$work/$1.out"
}

# All its links are encrypted.
is_encrypted() {
    ask "$1" metrics | grep -q '^cfp_links_tls 2$'
}

is_there() {
    ask "$1" clients | grep -q "^$2"
}

compose up --detach
for server in anna berta clara; do
    until_done "$server is merged with the others" is_merged "$server"
    is_encrypted "$server" || fail "$server has links without TLS"
    echo "$server:"
    ask "$server" siblings
done

client anna ana < "$work/ana.in" > "$work/ana.out" 2>&1 &
exec 3> "$work/ana.in"
until_done 'ana is logged in' is_there anna ana
printf 'hello from clara\n/msg ana@1 between us\n/quit\n' | client clara bob > "$work/bob.out" 2>&1 3>&- ||
    fail "bob's client failed: $(cat "$work/bob.out")"
until_done "bob's public message" has_said ana 'hello from clara'
until_done "bob's private message" has_said ana 'between us'
printf '/quit\n' >&3
exec 3>&-
wait
echo 'ana saw:'
cat "$work/ana.out"

compose stop > /dev/null 2>&1
for server in anna berta clara; do
    status=$(docker inspect --format '{{.State.ExitCode}}' "$(compose ps -q "$server")")
    [ "$status" -eq 0 ] || fail "$server ended with exit status $status"
done
echo 'compose-demo: fine'
