#!/usr/bin/env bash
# Runs each fuzz test for FUZZTIME (10s): Go takes one at a time.
set -euo pipefail
cd "$(dirname "$0")/.."

grep -rEo --include='*_test.go' --exclude-dir=node_modules '^func Fuzz[A-Za-z0-9_]+' . | sort |
  while IFS=: read -r file func; do
    name=${func#func }
    echo "== $name in ${file%/*}"
    go test -run '^$' -fuzz "^$name\$" -fuzztime "${FUZZTIME:-10s}" "${file%/*}" </dev/null
  done
