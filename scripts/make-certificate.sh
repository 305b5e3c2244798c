#!/bin/sh
# Makes a certificate for trying TLS. It signs itself, so clients need it as --ca or its --fingerprint.
#
#   scripts/make-certificate.sh DIR [NAME-OR-ADDRESS…]      default: localhost 127.0.0.1 ::1
#
# writes DIR/cert.pem and DIR/key.pem, good for 90 days.
set -eu
case ${1:-} in
-h | --help)
    # What stands above.
    sed -n '2,/^[^#]/ { /^#/ s/^# \{0,1\}//p; }' "$0"
    exit 0
    ;;
-*)
    echo "make-certificate: there is no option $1; --help says what there is" >&2
    exit 2
    ;;
esac

die() {
    echo "make-certificate.sh: $*" >&2
    exit 1
}

test $# -ge 1 || die 'usage: make-certificate.sh DIR [NAME-OR-ADDRESS…]'
command -v openssl > /dev/null || die 'openssl is not installed'
dir=$1
shift
test $# -gt 0 || set -- localhost 127.0.0.1 ::1

names=''
for name in "$@"; do
    case $name in
    *:* | *[0-9].[0-9]*.[0-9]*.[0-9]*) names="$names,IP:$name" ;;
    *) names="$names,DNS:$name" ;;
    esac
done

mkdir -p "$dir"
config=$(mktemp)
trap 'rm -f "$config"' EXIT
cat > "$config" << END
[req]
distinguished_name = subject
x509_extensions = extensions
prompt = no
[subject]
CN = $1
[extensions]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = ${names#,}
END
umask 077
openssl req -x509 -config "$config" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 \
    -keyout "$dir/key.pem" -out "$dir/cert.pem" 2> /dev/null || die "openssl failed for $*"
chmod 644 "$dir/cert.pem"
echo "$dir/cert.pem and $dir/key.pem are good for 90 days, for: $*"
