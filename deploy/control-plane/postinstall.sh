#!/bin/sh
set -e

# The first install makes the settings, with secrets of this installation's own. None after it touches them.
settings=/etc/spotkeeper/spotkeeper.env
if [ ! -e "$settings" ]; then
  key=$(head -c 32 /dev/urandom | base64)
  token=$(head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n')
  (umask 077 && sed -e "s|^SECRET_KEY=.*|SECRET_KEY=$key|" -e "s|^ADMIN_TOKEN=.*|ADMIN_TOKEN=$token|" \
    /usr/share/spotkeeper/spotkeeper.env >"$settings.new")
  mv "$settings.new" "$settings"
fi

[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
# What runs is restarted into the new version, once the schema is the new version's. Nothing is
# started that was not: the settings come first.
for unit in spotkeeper-api spotkeeper-worker; do
  if systemctl is-active --quiet "$unit.service"; then running="${running:-} $unit.service"; fi
done
[ -z "${running:-}" ] && exit 0
systemctl restart spotkeeper-migrate.service
# shellcheck disable=SC2086 # units are words
systemctl restart $running
