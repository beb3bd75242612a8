#!/usr/bin/env bash
# Installs what the tests need beyond Go, saying so first: programs by apt-get as root on Debian and Ubuntu, the packages
# of interop/ by npm. What it cannot install is no error here: the tests that need it say so (internal/testenv).
set -euo pipefail
cd "$(dirname "$0")/.."

has() { command -v "$1" >/dev/null; }

has_python_modules() { # the same list as in internal/testenv/need.go
  local python
  for python in python3 /usr/bin/python3; do
    "$python" -c 'import fastapi, uvicorn, socketio, requests, websocket' 2>/dev/null && return
  done
  return 1
}

apt_install() {
  # Debian starts a server as soon as it is installed, unless this file forbids it. The tests start their own.
  local policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  local install=(apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "$@")
  export DEBIAN_FRONTEND=noninteractive
  "${install[@]}" >/dev/null 2>&1 || { apt-get update -qq && "${install[@]}" >/dev/null; }
}

packages=()
has gcc || packages+=(gcc libc6-dev) # for the race detector
has redis-server || packages+=(redis-server)
has_python_modules || packages+=(python3-fastapi python3-socketio python3-requests python3-websocket uvicorn)
has node || packages+=(nodejs)
has npm || packages+=(npm)
has chromium || packages+=(chromium)

if [ ${#packages[@]} -gt 0 ]; then
  if [ -e /etc/debian_version ] && has apt-get && [ "$(id -u)" = 0 ]; then
    echo "setup: installing ${packages[*]} (apt-get)"
    apt_install "${packages[@]}" || echo "setup: apt-get failed"
    case " ${packages[*]} " in *" redis-server "*)
      if has systemctl; then systemctl disable --quiet redis-server || true; fi # nor at the next start of the machine
    esac
  else
    echo "setup: not installed, for that takes root on Debian or Ubuntu: ${packages[*]}"
  fi
fi

# The copy of the lock file in node_modules says for which packages that was filled.
if has npm && ! cmp -s interop/package-lock.json interop/node_modules/.lock; then
  echo "setup: installing the packages of interop/package.json (npm ci)"
  if (cd interop && npm ci --loglevel=error --no-progress); then
    cp interop/package-lock.json interop/node_modules/.lock
  else
    echo "setup: npm ci failed"
  fi
fi

# A server that speaks MongoDB's protocol, for the tests of mongostore. Building it fetches what it is made of.
if has go; then
  go -C internal/asset/mongostore/ferret build -o /dev/null . || echo "setup: the MongoDB protocol server cannot be built"
fi
