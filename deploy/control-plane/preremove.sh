#!/bin/sh
set -e
# Both kinds of packages call this before an upgrade too: deb with "upgrade", rpm with 1.
case "$1" in upgrade|1) exit 0 ;; esac
[ -d /run/systemd/system ] || exit 0
systemctl disable --now spotkeeper-api.service spotkeeper-worker.service spotkeeper-migrate.service || true
