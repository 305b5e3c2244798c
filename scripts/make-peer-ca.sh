#!/bin/sh
# Makes certificates for the servers of one network: a CA of its own, and for each server one that names its ID.
#
#   scripts/make-peer-ca.sh DIR ID [NAME-OR-ADDRESS…]
#
# makes DIR/peer-ca.pem (for every server's --peer-ca, and for clients' --ca) and DIR/peer-ca.key (keep it off the servers)
# if they are not there, then DIR/cfp-ID.pem and DIR/cfp-ID.key for the server with that ID. The names are those under which clients
# reach it.
set -eu
case ${1:-} in
-h | --help)
    # What stands above.
    sed -n '2,/^[^#]/ { /^#/ s/^# \{0,1\}//p; }' "$0"
    exit 0
    ;;
-*)
    echo "make-peer-ca: there is no option $1; --help says what there is" >&2
    exit 2
    ;;
esac

die() {
    echo "make-peer-ca.sh: $*" >&2
    exit 1
}

# How long they are good for: the CA longer than any server's certificate.
ca_days=3650
server_days=730

test $# -ge 2 || die 'usage: make-peer-ca.sh DIR ID [NAME-OR-ADDRESS…]'
command -v openssl > /dev/null || die 'openssl is not installed'
dir=$1
id=$2
shift 2
case $id in
'' | *[!0-9]*) die "$id: expected a server ID, 0 to 4294967295" ;;
esac

names="DNS:cfp-$id"
for name in "$@"; do
    case $name in
    *:* | *[0-9].[0-9]*.[0-9]*.[0-9]*) names="$names,IP:$name" ;;
    *) names="$names,DNS:$name" ;;
    esac
done

umask 077
mkdir -p "$dir"
config=$(mktemp)
trap 'rm -f "$config" "$config.csr"' EXIT
cat > "$config" << END
[req]
distinguished_name = subject
prompt = no
[subject]
CN = cfp
[ca]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
[server]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
subjectAltName = $names
END

if ! test -e "$dir/peer-ca.key"; then
    openssl req -x509 -config "$config" -extensions ca -subj '/CN=CA of a network of CFP servers' -newkey ec \
        -pkeyopt ec_paramgen_curve:P-256 -nodes -days $ca_days -keyout "$dir/peer-ca.key" -out "$dir/peer-ca.pem" \
        2> /dev/null || die 'openssl could not make the CA'
    chmod 644 "$dir/peer-ca.pem"
fi
openssl req -new -config "$config" -subj "/CN=cfp-$id" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -keyout "$dir/cfp-$id.key" -out "$config.csr" 2> /dev/null || die "openssl could not make the key of cfp-$id"
openssl x509 -req -in "$config.csr" -CA "$dir/peer-ca.pem" -CAkey "$dir/peer-ca.key" -days $server_days \
    -set_serial "0x$(openssl rand -hex 16)" -extfile "$config" -extensions server -out "$dir/cfp-$id.pem" \
    2> /dev/null || die "openssl could not sign the certificate of cfp-$id"
chmod 644 "$dir/cfp-$id.pem"
echo "$dir/cfp-$id.pem and $dir/cfp-$id.key are good for $server_days days, for: cfp-$id $*"
