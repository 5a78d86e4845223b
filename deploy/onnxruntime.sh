#!/usr/bin/env bash
# Puts ONNX Runtime's shared library into a directory (default bin/onnxruntime),
# once. It comes ready-made in the npm package onnxruntime-node, of which nothing
# is run: the package is fetched by whatever registry npm is configured with and
# unpacked, and the file must have the sum that stands here. It is called
# libonnxruntime.so on every system. Where the package has no library, as for Macs
# with Intel's processors, the script says so and succeeds: the tests of ONNX models
# fail there, and all others run.
set -euo pipefail

version=1.30.0
into=${1:-$(dirname "$0")/../bin/onnxruntime}
case "$(uname -s)/$(uname -m)" in
  Linux/x86_64) file=linux/x64/libonnxruntime.so.1 sum=ffb75a925ba05e47b235bb66e3e3911714a80b328a9c9425539feb204aa32a23 ;;
  Linux/aarch64 | Linux/arm64) file=linux/arm64/libonnxruntime.so.1 sum=1f549d46250b005580b597f4164984aaf75b3bcb9f3aeb07c7f8a8fe60b23c76 ;;
  Darwin/arm64) file=darwin/arm64/libonnxruntime.1.dylib sum=685d2be5dba1309c89d3a5324b7fd06a5c42f1a61bfea32d14c4cc28d072121d ;;
  Linux/*) echo "onnxruntime: there is no library for Linux on $(uname -m)" >&2; exit 1 ;;
  *)
    echo "onnxruntime: there is no library for $(uname -s) on $(uname -m): the tests of ONNX models will fail, the others run" >&2
    exit 0 ;;
esac
library=$into/libonnxruntime.so

check() {
  if command -v sha256sum >/dev/null; then echo "$sum  $1" | sha256sum --check --status
  else echo "$sum  $1" | shasum -a 256 --check --status; fi
}

if [ -f "$library" ] && check "$library"; then
  echo "$library"
  exit 0
fi
command -v npm >/dev/null || { echo "onnxruntime: npm is needed to fetch the library" >&2; exit 1; }
mkdir -p "$into"
work=$(mktemp -d "$into/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --ignore-scripts --silent "onnxruntime-node@$version" >/dev/null)
member=package/bin/napi-v6/$file
tar -xzf "$work"/onnxruntime-node-*.tgz -C "$work" "$member"
check "$work/$member" || { echo "onnxruntime: the fetched library is not the expected one" >&2; exit 1; }
mv "$work/$member" "$library"
echo "$library"
