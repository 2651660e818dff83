#!/usr/bin/env bash
# Fetches the ONNX Runtime library, checks it, and lays it at TARGET_DIR (default: .tools/onnxruntime).
#
# The library comes out of the wheel that the ONNX Runtime project publishes on PyPI. The wheel is made for one version of
# Python, the library inside it for none, so the same wheel is taken whatever Python is here. Needs python3 with pip.
set -euo pipefail

version=1.31.1
case "$(uname -s)-$(uname -m)" in
Linux-x86_64)
  platform=manylinux_2_28_x86_64
  wheel_sha256=5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f
  member=onnxruntime/capi/libonnxruntime.so.$version
  library_sha256=fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3
  name=libonnxruntime.so
  ;;
Linux-aarch64)
  platform=manylinux_2_28_aarch64
  wheel_sha256=da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3
  member=onnxruntime/capi/libonnxruntime.so.$version
  library_sha256=8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467
  name=libonnxruntime.so
  ;;
Darwin-arm64)
  platform=macosx_14_0_arm64
  wheel_sha256=60b6b69bfe580eab576cacc5d132a0e9cf2a37fcfd18d46dd191042b1d1ed0d7
  member=onnxruntime/capi/libonnxruntime.$version.dylib
  library_sha256=f8b06155feece624e55e49124340eea279da812529ae6fbc46a9f2be9c9cad2e
  name=libonnxruntime.dylib
  ;;
*)
  echo "onnxruntime.sh: no ONNX Runtime $version is published for $(uname -s) on $(uname -m);" \
    "build it and name its path in the configuration (inference.library)" >&2
  exit 1
  ;;
esac

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${1:-$root/.tools/onnxruntime}

sha256_of() {
  python3 -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1"
}

check() {
  local found
  found=$(sha256_of "$1")
  if [ "$found" != "$2" ]; then
    echo "onnxruntime.sh: $1 has sha-256 $found, expected $2" >&2
    return 1
  fi
}

if [ -f "$target/$name" ] && check "$target/$name" "$library_sha256"; then
  echo "ONNX Runtime $version is at $target/$name"
  exit 0
fi

mkdir -p "$target"
# Beside the target, so that the last step is a rename and nobody ever sees half a library.
work=$(mktemp -d "$target/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$work" \
  --implementation cp --python-version 3.11 --abi cp311 --platform "$platform" "onnxruntime==$version"
wheel=$(echo "$work"/onnxruntime-*.whl)
check "$wheel" "$wheel_sha256"
python3 - "$wheel" "$work" "$member" "$name" <<'PYTHON'
import pathlib, sys, zipfile

wheel, work, member, name = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    # The licences travel with the library.
    for source, file in [(member, name), ("onnxruntime/LICENSE", "LICENSE"),
                         ("onnxruntime/ThirdPartyNotices.txt", "ThirdPartyNotices.txt")]:
        pathlib.Path(work, file).write_bytes(archive.read(source))
PYTHON
check "$work/$name" "$library_sha256"
chmod 755 "$work/$name"
mv -f "$work/LICENSE" "$work/ThirdPartyNotices.txt" "$target/"
mv -f "$work/$name" "$target/$name"
echo "ONNX Runtime $version is at $target/$name"
