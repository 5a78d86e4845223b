#!/usr/bin/env bash
# Names the bases of the images by their digests.
#
#   deploy/bases.sh check [FILE]   prints the arguments for docker build; fails when a base has no digest
#   deploy/bases.sh pin [FILE]     asks the registries for the digests of the tags and writes them
set -euo pipefail
command=${1:?check or pin}
file=${2:-$(dirname "$0")/bases.env}

settings=$(grep -E '^[A-Z]+_IMAGE=' "$file")
case $command in
check)
  unpinned=$(grep -vE '@sha256:[0-9a-f]{64}$' <<<"$settings" || true)
  if [ -n "$unpinned" ]; then
    echo "these bases have no digest, so a release cannot be made again: run make bases" >&2
    echo "$unpinned" >&2
    exit 1
  fi
  while read -r setting; do printf -- '--build-arg %s ' "$setting"; done <<<"$settings"
  ;;
pin)
  while IFS='=' read -r name image; do
    tag=${image%%@*}
    digest=$(docker buildx imagetools inspect "$tag" --format '{{.Manifest.Digest}}')
    sed -i.old "s|^$name=.*|$name=$tag@$digest|" "$file" && rm "$file.old"
  done <<<"$settings"
  ;;
*)
  echo "the command is check or pin" >&2
  exit 2
  ;;
esac
