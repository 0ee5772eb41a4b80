#!/bin/bash
# Makes this instance run its queue. cloud-init runs it once; an operator may run it again.
# No `set -x`: it would print secrets.
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
start_step() { step="$*"; say "$step"; }
fail() { say "$*"; exit 1; }
courier() { python3 -I "$here/courier.py" "$@"; }

# shellcheck disable=SC2317 # the trap calls it
on_exit() {
  code=$?
  trap - EXIT
  [ "$code" = 0 ] && exit 0
  say "failed to $step (exit code $code); to retry: sudo bash $here/bootstrap.sh"
  end_later=
  # --on-complete also applies if the queue cannot start, except when an operator runs this script.
  if [ -n "$POWER_OFF" ] && ! [ -t 0 ]; then
    end_later=yes
    say "--on-complete powers this instance off in 15 minutes; to keep it: sudo systemctl stop $end.timer"
  fi
  tail -c 16384 "$log" >"$here/tail"
  if ! courier put "$BOOT_LOG" "$here/tail"; then
    say "this log cannot be uploaded to s3://$BUCKET/$BOOT_LOG: the instance keeps running at your cost"
    end_later=
  fi
  rm -f "$here/tail"
  if [ -n "$end_later" ] && ! systemctl --quiet is-active "$end.timer"; then
    # Only if the queue has not started by then: the services retry transient failures.
    systemd-run --quiet --unit="$end" --on-active=15min \
      /bin/sh -c "[ -e '$EVENTS' ] || systemctl poweroff" ||
      say "the power-off cannot be scheduled: the instance costs money until it is terminated"
  fi
  tail -n 20 "$log" >&3 || true
  exit 1
}

# shellcheck source=/dev/null
. "$here/plan"
trap on_exit EXIT
export REGION BUCKET BUCKET_OWNER SPAWN_SSE SPAWN_SSE_KMS_KEY_ID

if [ "${1:-}" = refused ]; then # called by systemd after the runner's service exits
  if [ "${SERVICE_RESULT:-}" = success ] || [ -e "$EVENTS" ]; then
    exit 0 # the queue started, and its log has the rest
  fi
  [ "${EXIT_STATUS:-}" != 75 ] || exit 0 # S3 was unreachable: systemd restarts the service
  start_step "start the queue"
  journalctl --unit spawn-queue.service --lines 20 --output cat --no-pager || true
  exit 1
fi

systemctl --quiet stop "$end.timer" 2>/dev/null || true # set by an earlier, failed run

command -v python3 >/dev/null || fail "the image has no python3: use an image with cloud-init"
id -u "$RUN_AS" >/dev/null 2>&1 || fail "the image has no user $RUN_AS: set --ssh-user to the image's user"

start_step "download the launch files from s3://$BUCKET/$OBJECTS"
files="$home/launches/$LAUNCH_ID"
mkdir -p "$files"
while read -r digest name; do
  courier fetch "$OBJECTS$name" "$files/$name" "$digest"
done <"$here/files"

start_step "find Python 3.11 or newer"
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
    start_step "install python3.11 with dnf"
    dnf install -y -q python3.11 python3.11-pip || say "dnf cannot install it"
  elif command -v apt-get >/dev/null; then
    start_step "install python3-venv with apt"
    { apt update && apt install --no-install-recommends python3-venv; } || say "apt cannot install it"
    if ! find_python >/dev/null; then # the image's python3 is too old
      apt install --no-install-recommends python3.11-venv || say "apt cannot install python3.11-venv"
    fi
  fi
  python=$(find_python) || python=
fi

# `python` and `pip` for setup and jobs: provided here unless the image or the setup has a `python`.
mkdir -p "$home/bin"
rm -f "$home/bin/python" "$home/bin/pip"
provide_python() {
  command -v python >/dev/null && return
  ln -s "$python" "$home/bin/python"
  "$python" -I -c 'import pip' 2>/dev/null || return 0
  printf '#!/bin/sh\nexec "%s" -P -m pip "$@"\n' "$python" >"$home/bin/pip"
  chmod 0755 "$home/bin/pip"
}
[ -z "$python" ] || provide_python
if [ -e "$files/setup" ] && [ ! -e "$files/.setup-done" ]; then
  start_step "run the setup"
  chmod 0700 "$files/setup"
  # bash itself runs a script without #!. The output goes to the log.
  (cd / && PATH="$home/bin:$PATH" "$files/setup" </dev/null 3>&-)
  touch "$files/.setup-done"
  hash -r
  ! command -v python >/dev/null || rm -f "$home/bin/python" "$home/bin/pip"
fi
if [ -z "$python" ]; then # the setup may have installed one
  python=$(find_python) ||
    fail "no Python 3.11 or newer with venv: install one in the setup, or use another image"
  provide_python
fi
say "use $python"

start_step "install spawn and its dependencies into $home/venv"
[ -x "$home/venv/bin/python" ] || "$python" -I -m venv "$home/venv"
# The constraints pin the dependencies to the launcher's versions.
"$home/venv/bin/python" -I -m pip install --quiet --no-input --disable-pip-version-check \
  --retries 5 --constraint "$files/requirements.txt" "$files"/spawn_queue-*.whl
# -I: the jobs' environment may set variables for their own Python.
rm -f /usr/local/bin/spawn
printf '#!/bin/sh\nexec "%s" -I -m spawn.cli "$@"\n' "$home/venv/bin/python" >/usr/local/bin/spawn
chmod 0755 /usr/local/bin/spawn

start_step "create the folders of $RUN_AS"
group=$(id -gn "$RUN_AS")
make_folder() { install -d -m "$1" -o "$RUN_AS" -g "$group" "$2"; }
for each in /var/lib/spawn-queue /var/log/spawn-queue /var/cache/spawn-queue; do
  make_folder 0755 "$each"
done
install -d -m 0755 "$(dirname "$WORK")"
make_folder 0755 "$WORK"
as_user() { setpriv --reuid "$RUN_AS" --regid "$group" --init-groups --no-new-privs -- "$@"; }
if [ -e "$files/work.tar.gz" ] && [ ! -e "$files/.unpacked" ]; then
  start_step "unpack the synced files into $WORK"
  as_user tar -xzf - --no-same-owner --same-permissions -C "$WORK" <"$files/work.tar.gz"
  touch "$files/.unpacked"
fi
install -m 0644 -o "$RUN_AS" -g "$group" "$files/queue-config.json" "$WORK/queue-config.json"

if [ -n "$ENV_PARAMETER" ]; then
  start_step "read the jobs' environment from $ENV_PARAMETER"
  install -d -m 0755 /etc/spawn-queue
  (
    umask 077
    trap 'rm -f "$here/environment" "$here/environment.new"' EXIT
    courier parameter "$ENV_PARAMETER" "$here/environment"
    "$home/venv/bin/python" -I -c '
import sys
from spawn.store.aws.boot.environment_file import encode_for_systemd, parse_environment
try:
    variables = parse_environment(sys.stdin.buffer.read().decode())
    sys.stdout.buffer.write(encode_for_systemd(variables).encode())
except ValueError as error:
    sys.exit("the environment cannot be read: " + (str(error) if type(error) is ValueError else "not UTF-8"))
' <"$here/environment" >"$here/environment.new"
    install -m 0600 -o "$RUN_AS" -g "$group" "$here/environment.new" /etc/spawn-queue/environment
  )
fi

if [ -n "$POWER_OFF" ]; then
  start_step "let $RUN_AS power this instance off, and nothing else"
  command -v visudo >/dev/null || fail "the image has no sudo, which --on-complete needs"
  echo "$RUN_AS ALL=(root) NOPASSWD: /usr/bin/systemctl poweroff, /bin/systemctl poweroff" >"$here/sudoers"
  visudo -cqf "$here/sudoers"
  install -m 0440 "$here/sudoers" /etc/sudoers.d/spawn-queue
fi

start_step "start the services"
install -m 0644 "$here/spawn-queue.service" "$here/spawn-feed.service" /etc/systemd/system/
systemctl daemon-reload
systemctl enable --quiet spawn-feed.service spawn-queue.service
systemctl start spawn-feed.service spawn-queue.service
say "done"
