#!/usr/bin/env bash
# Starts an orchestration with nothing but redis-cli, and prints its answer.
# usage: scripts/enqueue.sh NAME [INPUT_JSON] [ID]
# DURASTREAM_REDIS_URL (redis://localhost:6379, or redis+cluster://host:port,…), DURASTREAM_HUB (default),
# DURASTREAM_WAIT (30 seconds; 0: do not wait)
# exit codes: 0 completed, 1 failed or terminated, 2 usage, 6 no answer in time
set -euo pipefail
if [ $# -lt 1 ] || [ $# -gt 3 ]; then
  sed -n '2,6s/^# //p' "$0" >&2
  exit 2
fi
url=${DURASTREAM_REDIS_URL:-redis://localhost:6379}
hub=${DURASTREAM_HUB:-default}
wait=${DURASTREAM_WAIT:-30}
answers="answers:$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')"

follow=()
case $url in *+cluster://*) # any node will do: the others are found through it
  follow=(-c) url=${url/+cluster/} url=${url%%,*}
  ;;
esac
redis() { redis-cli "${follow[@]}" -e --no-auth-warning -u "$url" "$@"; }

entry=(op start name "$1")
if [ $# -ge 2 ]; then entry+=(input "$2"); fi
if [ $# -ge 3 ]; then entry+=(id "$3"); fi
if [ "$wait" != 0 ]; then entry+=(reply "$answers"); fi

sent=$(redis XADD "ds:{$hub}:in" '*' "${entry[@]}")
if [ "$wait" = 0 ]; then
  echo "$sent"
  exit
fi
answer=$(redis --raw BLPOP "$answers" "$wait" | tail -n +2)
if [ -z "$answer" ]; then
  echo "no answer to $sent in $wait s: is a worker running that has the orchestrator $1? (durastream workers)" >&2
  exit 6
fi
printf '%s\n' "$answer"
case $answer in *'"status":"Completed"'*) ;; *) exit 1 ;; esac
