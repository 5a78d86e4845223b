#!/bin/sh
# Writes the secrets of a new installation, for .env. Keep the file: SECRET_KEY opens what it has sealed.
set -eu
random() { head -c "$1" /dev/urandom | base64 | tr -d '\n'; }
word() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
for name in POSTGRES_PASSWORD OWNER_PASSWORD APP_PASSWORD TEMPORAL_PASSWORD ADMIN_TOKEN; do
  echo "$name=$(word)"
done
echo "SECRET_KEY=$(random 32)"
