#!/bin/bash
# Makes this instance run its queue. cloud-init runs it once; a person may run it again.
# Nothing is traced, for there are secrets: `set -x` would print them.
set -euo pipefail
umask 022
export LC_ALL=C DEBIAN_FRONTEND=noninteractive HOME="${HOME:-/root}"
here=$(cd "$(dirname "$0")" && pwd)
home=$(dirname "$here")
log=/var/log/spawn-queue-boot.log
touch "$log"
chmod 0640 "$log"
exec 3>&1 >>"$log" 2>&1

step="read the plan"
end=spawn-end-of-instance
say() { echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) $*"; }
begin() { step="$*"; say "$step"; }
fail() { say "$*"; exit 1; }
courier() { python3 -I "$here/courier.py" "$@"; }

# shellcheck disable=SC2317 # the trap calls it
ended() {
  code=$?
  trap - EXIT
  [ "$code" = 0 ] && exit 0
  say "failed to $step (exit code $code); to try again: sudo bash $here/bootstrap.sh"
  end_later=
  # A launch that was to end with its queue ends without it, but for a person who is at work here.
  if [ -n "$POWER_OFF" ] && ! [ -t 0 ]; then
    end_later=yes
    say "this instance ends in 15 minutes, as --on-complete says; to keep it: sudo systemctl stop $end.timer"
  fi
  tail -c 16384 "$log" >"$here/tail"
  if ! courier put "$BOOT_LOG" "$here/tail"; then
    say "this log could not be brought to s3://$BUCKET/$BOOT_LOG: the instance stays, and costs"
    end_later=
  fi
  rm -f "$here/tail"
  if [ -n "$end_later" ] && ! systemctl --quiet is-active "$end.timer"; then
    # Unless the queue has begun by then: the services start again what fails by chance.
    systemd-run --quiet --unit="$end" --on-active=15min \
      /bin/sh -c "[ -e '$EVENTS' ] || systemctl poweroff" ||
      say "it cannot be ended from here, and costs until it is terminated"
  fi
  tail -n 20 "$log" >&3 || true
  exit 1
}

# shellcheck source=/dev/null
. "$here/plan"
trap ended EXIT
export REGION BUCKET BUCKET_OWNER SPAWN_SSE SPAWN_SSE_KMS_KEY_ID

if [ "${1:-}" = refused ]; then # by systemd, when the runner's service has ended
  if [ "${SERVICE_RESULT:-}" = success ] || [ -e "$EVENTS" ]; then
    exit 0 # it began, and its log says how it went on
  fi
  [ "${EXIT_STATUS:-}" != 75 ] || exit 0 # S3 was out of reach: systemd tries again
  begin "begin the queue"
  journalctl --unit spawn-queue.service --lines 20 --output cat --no-pager || true
  exit 1
fi

systemctl --quiet stop "$end.timer" 2>/dev/null || true # an earlier try has failed; this one may not

command -v python3 >/dev/null || fail "the image has no python3, which cloud-init images have: use another one"
id -u "$RUN_AS" >/dev/null 2>&1 || fail "the image has no user $RUN_AS: name the one that it has"

begin "fetch what was launched from s3://$BUCKET/$OBJECTS"
files="$home/launches/$LAUNCH_ID"
mkdir -p "$files"
while read -r digest name; do
  courier fetch "$OBJECTS$name" "$files/$name" "$digest"
done <"$here/files"

begin "find a Python of 3.11 or newer"
find_python() {
  for each in python3.11 python3.12 python3.13 python3.14 python3; do
    if command -v "$each" >/dev/null && "$each" -I -c \
      'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$each"
      return
    fi
  done
  return 1
}
if ! python=$(find_python); then
  apt() { apt-get -q -y -o DPkg::Lock::Timeout=300 "$@"; }
  if command -v dnf >/dev/null; then
    begin "install python3.11 with dnf"
    dnf install -y -q python3.11 python3.11-pip || say "it cannot be"
  elif command -v apt-get >/dev/null; then
    begin "install python3-venv with apt"
    { apt update && apt install --no-install-recommends python3-venv; } || say "it cannot be"
    if ! find_python >/dev/null; then # its python3 is too old
      apt install --no-install-recommends python3.11-venv || say "it cannot be"
    fi
  fi
  python=$(find_python) || python=
fi

# `python` and `pip` of setup and jobs, a pair: ours, unless the image or the setup has a `python`.
mkdir -p "$home/bin"
rm -f "$home/bin/python" "$home/bin/pip"
ours() {
  command -v python >/dev/null && return
  ln -s "$python" "$home/bin/python"
  "$python" -I -c 'import pip' 2>/dev/null || return 0
  printf '#!/bin/sh\nexec "%s" -P -m pip "$@"\n' "$python" >"$home/bin/pip"
  chmod 0755 "$home/bin/pip"
}
[ -z "$python" ] || ours
if [ -e "$files/setup" ] && [ ! -e "$files/.setup-done" ]; then
  begin "run the setup"
  chmod 0700 "$files/setup"
  # bash runs what has no #! itself. Where this goes wrong, its last words are in the log.
  (cd / && PATH="$home/bin:$PATH" "$files/setup" </dev/null 3>&-)
  touch "$files/.setup-done"
  hash -r
  ! command -v python >/dev/null || rm -f "$home/bin/python" "$home/bin/pip"
fi
if [ -z "$python" ]; then # a setup may have brought one
  python=$(find_python) ||
    fail "no Python of 3.11 or newer, with venv, can be had: the setup may install one, or use another image"
  ours
fi
say "it is $python"

begin "install spawn and what it needs into $home/venv"
[ -x "$home/venv/bin/python" ] || "$python" -I -m venv "$home/venv"
# The wheel says what it needs; the pins say which versions, those that the launcher has.
"$home/venv/bin/python" -I -m pip install --quiet --no-input --disable-pip-version-check \
  --retries 5 --constraint "$files/requirements.txt" "$files"/spawn_queue-*.whl
# Isolated from what the jobs' environment has for their own Python.
rm -f /usr/local/bin/spawn
printf '#!/bin/sh\nexec "%s" -I -m spawn.cli "$@"\n' "$home/venv/bin/python" >/usr/local/bin/spawn
chmod 0755 /usr/local/bin/spawn

begin "make the folders of $RUN_AS"
group=$(id -gn "$RUN_AS")
own() { install -d -m "$1" -o "$RUN_AS" -g "$group" "$2"; }
for each in /var/lib/spawn-queue /var/log/spawn-queue /var/cache/spawn-queue; do own 0755 "$each"; done
install -d -m 0755 "$(dirname "$WORK")"
own 0755 "$WORK"
as_user() { setpriv --reuid "$RUN_AS" --regid "$group" --init-groups --no-new-privs -- "$@"; }
if [ -e "$files/work.tar.gz" ] && [ ! -e "$files/.unpacked" ]; then
  begin "unpack what was synced into $WORK"
  as_user tar -xzf - --no-same-owner --same-permissions -C "$WORK" <"$files/work.tar.gz"
  touch "$files/.unpacked"
fi
install -m 0644 -o "$RUN_AS" -g "$group" "$files/queue-config.json" "$WORK/queue-config.json"

if [ -n "$ENV_PARAMETER" ]; then
  begin "read the jobs' environment from $ENV_PARAMETER"
  install -d -m 0755 /etc/spawn-queue
  (
    umask 077
    trap 'rm -f "$here/environment" "$here/environment.new"' EXIT
    courier parameter "$ENV_PARAMETER" "$here/environment"
    "$home/venv/bin/python" -I -c '
import sys
from spawn.core.boot.environment import encode, parse
try:
    sys.stdout.buffer.write(encode(parse(sys.stdin.buffer.read().decode())).encode())
except ValueError as error:
    sys.exit("the environment cannot be read: " + (str(error) if type(error) is ValueError else "not UTF-8"))
' <"$here/environment" >"$here/environment.new"
    install -m 0600 -o "$RUN_AS" -g "$group" "$here/environment.new" /etc/spawn-queue/environment
  )
fi

if [ -n "$POWER_OFF" ]; then
  begin "let $RUN_AS power this instance off, and nothing else"
  command -v visudo >/dev/null || fail "the image has no sudo, by which the instance ends with its queue"
  echo "$RUN_AS ALL=(root) NOPASSWD: /usr/bin/systemctl poweroff, /bin/systemctl poweroff" >"$here/sudoers"
  visudo -cqf "$here/sudoers"
  install -m 0440 "$here/sudoers" /etc/sudoers.d/spawn-queue
fi

begin "start the services"
install -m 0644 "$here/spawn-queue.service" "$here/spawn-feed.service" /etc/systemd/system/
systemctl daemon-reload
systemctl enable --quiet spawn-feed.service spawn-queue.service
systemctl start spawn-feed.service spawn-queue.service
say "done"
