# shellcheck shell=bash disable=SC2154,SC2164
# A docker daemon that answers.

docker_up() {
  docker_answers && return
  [[ -z ${DOCKER_HOST:-} ]] || die "docker at DOCKER_HOST=$DOCKER_HOST does not answer"
  [[ ! -d /run/systemd/system ]] || die 'docker does not answer: start it (sudo systemctl start docker), or join its group'
  [[ $(id -u) -eq 0 ]] || die 'docker does not answer, and only root may start it: sudo dockerd'
  packages_present dockerd:docker.io runc:runc containerd:containerd iptables:iptables jq:jq
  docker_start
}

docker_answers() { docker info > /dev/null 2>&1; }

docker_start() {
  local log=$cache/dockerd.log arguments=()
  if lacks_capabilities; then
    install -D -m 755 "$here/bounded-runc" "$cache/bounded-runc"
    arguments=(--add-runtime "bounded=$cache/bounded-runc" --default-runtime bounded)
  fi
  say "starting dockerd; its log is $log"
  # A session of its own, so that it outlives whoever asked for a cluster; and without the lock.
  setsid nohup dockerd --log-level warn "${arguments[@]}" > "$log" 2>&1 < /dev/null 9>&- &
  local daemon=$!
  for _ in {1..120}; do
    docker_answers && return
    kill -0 "$daemon" 2> /dev/null || break
    sleep 0.5
  done
  die 'dockerd did not start; the end of its log:' "$(tail -n 5 "$log")"
}

# Whether a privileged container could not be given every capability, which is what `--privileged` asks for.
lacks_capabilities() {
  local bounding last
  bounding=$(awk '/^CapBnd/ { print $2 }' /proc/self/status)
  last=$(< /proc/sys/kernel/cap_last_cap)
  ((16#$bounding != (1 << (last + 1)) - 1))
}

# Installs what is missing of COMMAND:PACKAGE… where that is possible, and says what to install where it is not.
packages_present() {
  local pair missing=()
  for pair; do
    command -v "${pair%%:*}" > /dev/null || missing+=("${pair#*:}")
  done
  ((${#missing[@]} == 0)) || packages_install "${missing[@]}"
}

packages_install() {
  if [[ $(id -u) -ne 0 ]] || ! command -v apt-get > /dev/null; then
    die "missing: $* (Debian's names): install them and run this again"
  fi
  say "installing $*"
  apt-get update -qq 9>&-
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" > /dev/null 9>&-
}
