#!/bin/sh
# Makes the installation's authority in /authority, which no other part sees, and a certificate for each
# part in /certs. What is there stays.
set -eu
cd /certs
[ -f ca.crt ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=spotkeeper" \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -keyout /authority/ca.key -out ca.crt

# make NAME USER HOST: the key is readable by the user of its container alone.
make() {
  [ -f "$1.crt" ] && return
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr"
  printf 'subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$3" > "$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey /authority/ca.key -CAserial /authority/ca.srl -CAcreateserial -days 825 -extfile "$1.ext" -out "$1.crt"
  rm "$1.csr" "$1.ext"
  chown "$2:$2" "$1.key"
  chmod 0400 "$1.key"
}
make postgres 999 postgres
make temporal 1000 temporal
make temporal-ui 1000 temporal-ui
make spotkeeper 65532 spotkeeper
make web 0 "$SITE"
chmod 0444 ./*.crt
chmod 0400 /authority/ca.key
