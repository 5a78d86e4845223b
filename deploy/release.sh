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

for arch in amd64 arm64; do
  bin=$stage/linux_$arch
  mkdir -p "$bin"
  echo "compiling for linux/$arch ..."
  export CGO_ENABLED=0 GOOS=linux GOARCH=$arch
  go build -trimpath -ldflags "-s -w" -o "$bin/spotkeeper-api" ./api
  go build -trimpath -ldflags "-s -w" -o "$bin/spotkeeper-worker" ./worker
  go build -trimpath -ldflags "-s -w -X main.version=$AGENT_VERSION" -o "$bin/spotkeeper-agent" ./deploy/agent
  unset CGO_ENABLED GOOS GOARCH
  archive "spotkeeper_${version}_linux_$arch" "$bin/spotkeeper-api" "$bin/spotkeeper-worker" README.md docs/config.md \
    deploy/control-plane/*.service deploy/control-plane/spotkeeper.env
  archive "spotkeeper-agent_${AGENT_VERSION}_linux_$arch" "$bin/spotkeeper-agent" deploy/agent/files/agent.yaml \
    deploy/agent/files/spotkeeper-agent.service deploy/agent/files/hooks
  cp "$bin/spotkeeper-agent" "bin/spotkeeper-agent-linux-$arch"
  for kind in deb rpm; do
    ARCH=$arch VERSION=$version "$nfpm" package -f deploy/control-plane/nfpm.yaml -p "$kind" -t "$out/" >/dev/null
    ARCH=$arch VERSION=$AGENT_VERSION "$nfpm" package -f deploy/agent/nfpm.yaml -p "$kind" -t "$out/" >/dev/null
  done
done
cp deploy/agent/install.sh "$out/"
(cd deploy/checks && go run ./packchart "$version" "../../$out")
rm -r "$stage"
(cd "$out" && sha256sum -- * >checksums.txt && sha256sum --check --quiet checksums.txt)
