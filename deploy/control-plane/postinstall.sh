#!/bin/sh
set -e
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
