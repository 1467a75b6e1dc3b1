#!/usr/bin/env bash
# Publishes the images from any CI system, or from machines that are reached by
# ssh. Each machine has a clone of the same commit, with its tags:
#
#	release.sh platforms        print them, a line each
#	release.sh push PLATFORM... build and push some, by digest; leaves dist/digests
#	release.sh merge DIR        publish what all machines pushed: DIR holds their dist/digests
#	release.sh                  all of that here, one platform after the other
set -euo pipefail
cd "$(dirname "$0")"

platforms() {
  local matrix
  matrix=$(go tool mage ci:matrix)
  grep -o '"platform":"[^"]*"' <<<"$matrix" | cut -d '"' -f 4
}

push() {
  local IFS=,
  MULTIMAGE_PLATFORMS="$*" go tool mage ci:push
}

case "${1-}" in
platforms) platforms ;;
push) push "${@:2}" ;;
merge) go tool mage ci:merge "${2:?release.sh merge DIR}" ;;
'')
  for platform in $(platforms); do
    push "$platform" >&2
  done
  go tool mage ci:merge dist/digests
  ;;
*)
  sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac
