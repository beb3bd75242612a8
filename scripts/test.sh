#!/usr/bin/env bash
# Runs every test, fails if they leave files behind, and ends with a list of what was left out for want of a program.
# With LOUPE_TEST_REQUIRE=all nothing may be left out: a missing program is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tmp"
export LOUPE_TEST_LEFT_OUT=$work/left-out

race=-race
if [ "$(go env CGO_ENABLED)" = 0 ] && [ -z "${LOUPE_TEST_REQUIRE:-}" ]; then
  race=
  echo "the race detector: install a C compiler (gcc)" >>"$LOUPE_TEST_LEFT_OUT"
fi

status=0
# Not from the cache: it cannot see what the tests of interop/ and chaos/ build and start. Those of interop/ wait more than
# they work, and chaos/ judges what a machine does that has nothing else to do.
mapfile -t packages < <(go list ./... | grep -v -e /interop$ -e /chaos$)
TMPDIR=$work/tmp go test $race -count=1 -timeout 10m "${packages[@]}" || status=$?
TMPDIR=$work/tmp go test $race -count=1 -timeout 15m -parallel $((2 * $(getconf _NPROCESSORS_ONLN))) ./interop || status=$?
TMPDIR=$work/tmp go test $race -count=1 -timeout 10m ./chaos || status=$?

if [ -n "$(ls -A "$work/tmp")" ]; then
  echo "temporary files left behind:"
  find "$work/tmp" -mindepth 1 | head -20
  status=1
fi

if [ -s "$LOUPE_TEST_LEFT_OUT" ]; then
  echo "left out:"
  sort -u "$LOUPE_TEST_LEFT_OUT" | sed 's/^/  /'
else
  echo "nothing left out"
fi
exit "$status"
