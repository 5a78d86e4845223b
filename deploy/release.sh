#!/usr/bin/env bash
# Makes all of a release that needs neither Docker nor a registry, in bin/release: static programs for
# both architectures, archives, deb and rpm packages, the chart, SBOMs in SPDX and checksums.txt.
# The same source gives the same archives: times are those of the commit.
#
#   deploy/release.sh VERSION NFPM SYFT
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1 nfpm=$2 syft=$3
out=bin/release stage=bin/release/stage
rm -rf "$out"
mkdir -p "$stage"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH SYFT_CHECK_FOR_APP_UPDATE=false

# archive NAME FILE...: a tar.gz with the files in a directory of its name.
archive() {
  local name=$1
  shift
  mkdir -p "$stage/$name"
  cp -r "$@" "$stage/$name/"
  tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode='u+rw,go-w,a+rX' \
    -C "$stage" -cf - "$name" | gzip -n9 >"$out/$name.tar.gz"
  "$syft" scan -q "dir:$stage/$name" --source-name "$name" --source-version "$version" -o "spdx-json=$out/$name.spdx.json"
}

# package CONFIGURATION KIND VERSION ARCH: its messages are shown when it fails.
package() {
  local messages
  messages=$(ARCH=$4 VERSION=$3 "$nfpm" package -f "$1" -p "$2" -t "$out/" 2>&1) || { echo "$messages" >&2; exit 1; }
}

for arch in amd64 arm64; do
  bin=$stage/linux_$arch
  mkdir -p "$bin"
  echo "compiling for linux/$arch ..."
  export CGO_ENABLED=0 GOOS=linux GOARCH=$arch
  go build -trimpath -ldflags "-s -w" -o "$bin/spotkeeper-api" ./api
  go build -trimpath -ldflags "-s -w" -o "$bin/spotkeeper-worker" ./worker
  go build -trimpath -ldflags "-s -w -X main.version=$AGENT_VERSION" -o "$bin/spotkeeper-agent" ./deploy/agent
  go build -trimpath -ldflags "-s -w" -o "$bin/spotkeeper" ./deploy/cli
  unset CGO_ENABLED GOOS GOARCH
  archive "spotkeeper_${version}_linux_$arch" "$bin/spotkeeper-api" "$bin/spotkeeper-worker" README.md docs/config.md \
    deploy/control-plane/*.service deploy/control-plane/spotkeeper.env
  archive "spotkeeper-agent_${AGENT_VERSION}_linux_$arch" "$bin/spotkeeper-agent" deploy/agent/files/agent.yaml \
    deploy/agent/files/spotkeeper-agent.service deploy/agent/files/hooks
  archive "spotkeeper-cli_${version}_linux_$arch" "$bin/spotkeeper" docs/cli.md
  cp "$bin/spotkeeper-agent" "bin/spotkeeper-agent-linux-$arch"
  for kind in deb rpm; do
    package deploy/control-plane/nfpm.yaml "$kind" "$version" "$arch"
    package deploy/agent/nfpm.yaml "$kind" "$AGENT_VERSION" "$arch"
  done
done
# The command line also runs on the machines of those who use it.
for arch in amd64 arm64; do
  bin=$stage/darwin_$arch
  CGO_ENABLED=0 GOOS=darwin GOARCH=$arch go build -trimpath -ldflags "-s -w" -o "$bin/spotkeeper" ./deploy/cli
  archive "spotkeeper-cli_${version}_darwin_$arch" "$bin/spotkeeper" docs/cli.md
done
cp deploy/agent/install.sh "$out/"
(cd deploy/checks && go run ./packchart "$version" "../../$out")
rm -r "$stage"
(cd "$out" && sha256sum -- * >checksums.txt && sha256sum --check --quiet checksums.txt)
