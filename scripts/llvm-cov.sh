#!/bin/sh
# Makes `cargo llvm-cov` available: llvm-cov.sh VERSION FOLDER. Uses an installed one, else builds that version into FOLDER.
set -eu
version=$1
folder=$2

if ! PATH="$folder/bin:$PATH" cargo llvm-cov --version >/dev/null 2>&1; then
  cargo install cargo-llvm-cov --locked --version "$version" --root "$folder"
fi

tools=$(rustc --print target-libdir)/../bin/llvm-profdata
if [ ! -x "$tools" ] && [ -z "${LLVM_PROFDATA:-}" ]; then
  if ! rustup component add llvm-tools; then
    echo "llvm-cov.sh: coverage needs the llvm-tools of this Rust: \`rustup component add llvm-tools\`, or, without rustup," \
      "an LLVM $(rustc -vV | sed -n 's/^LLVM version: //p') and LLVM_COV and LLVM_PROFDATA naming its tools" >&2
    exit 1
  fi
fi
