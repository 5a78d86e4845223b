#!/bin/sh
# Installs spotkeeper-agent from a directory of packages, and enrols this instance.
#
#   SPOTKEEPER_PACKAGES=https://packages.example.com/agent SPOTKEEPER_API=https://spotkeeper.example.com \
#   SPOTKEEPER_AGENT_ID=web sh install.sh < token
#
# The packages are checked against checksums.txt, and checksums.txt against its cosign bundle
# when SPOTKEEPER_COSIGN_KEY names the public key.
set -eu
: "${SPOTKEEPER_PACKAGES:?must be the address of the directory with the packages, such as https://packages.example.com/agent}"
: "${SPOTKEEPER_API:?must be the address of the control plane, such as https://spotkeeper.example.com}"
: "${SPOTKEEPER_AGENT_ID:?must be the name of this workload, or tag:KEY for the value of an instance tag}"
[ "$(id -u)" = 0 ] || { echo "run as root: sudo -E sh install.sh" >&2; exit 1; }
for program in curl sha256sum ${SPOTKEEPER_COSIGN_KEY:+cosign}; do
  command -v "$program" >/dev/null || { echo "install $program first" >&2; exit 1; }
done

case "$(uname -m)" in
  x86_64)  deb=amd64 rpm=x86_64 ;;
  aarch64) deb=arm64 rpm=aarch64 ;;
  *) echo "there is no package for $(uname -m)" >&2; exit 1 ;;
esac
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
fetch() {
  curl -fsSL --retry 5 --retry-all-errors --max-time 120 -o "$1" "$SPOTKEEPER_PACKAGES/$1" ||
    { echo "$SPOTKEEPER_PACKAGES/$1 cannot be fetched: correct SPOTKEEPER_PACKAGES, or open the way to it" >&2; exit 1; }
}

fetch checksums.txt
if [ -n "${SPOTKEEPER_COSIGN_KEY:-}" ]; then
  fetch checksums.txt.bundle
  cosign verify-blob --key "$SPOTKEEPER_COSIGN_KEY" --bundle checksums.txt.bundle checksums.txt
fi
if command -v dpkg >/dev/null; then suffix="_$deb.deb"; else suffix=".$rpm.rpm"; fi
file=$(sed -n "s/^[0-9a-f]*  \(spotkeeper-agent.*$suffix\)$/\1/p" checksums.txt | tail -n 1)
[ -n "$file" ] || { echo "$SPOTKEEPER_PACKAGES has no package that ends in $suffix" >&2; exit 1; }
fetch "$file"
grep -F "  $file" checksums.txt | sha256sum -c -
if command -v dpkg >/dev/null; then dpkg -i "$file"; else rpm -U --replacepkgs "$file"; fi

# SPOTKEEPER_JOIN=aws-iam or aws-iid needs no token.
spotkeeper-agent enrol --api "$SPOTKEEPER_API" --agent-id "$SPOTKEEPER_AGENT_ID" --join "${SPOTKEEPER_JOIN:-token}" --token-file -
[ ! -d /run/systemd/system ] || systemctl enable --now spotkeeper-agent.service
spotkeeper-agent doctor || true
