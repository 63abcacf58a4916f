# shellcheck shell=bash disable=SC2154,SC2164
# The cluster itself. It is whole once $state/ready exists; without that, whatever there is of it is removed first.

cluster_up() {
  tools
  if cluster_is_whole; then
    local present
    present=$(kind get nodes --name "$name" | wc -l)
    ((present == nodes)) || die "the cluster $name has $present nodes, not $nodes: delete it first (make down, or cluster --name $name down)"
    return
  fi
  cluster_down
  node_image
  room_for_watches
  mkdir -p "$state"
  kind_config > "$state/kind.yaml"
  say "making the cluster $name with $nodes nodes"
  # A kubeconfig of its own: nobody's current context changes.
  kind create cluster --quiet --name "$name" --image "$(node_image_name)" --config "$state/kind.yaml" \
    --kubeconfig "$kubeconfig" 9>&- \
    || die "kind could not make the cluster $name: its reason stands above" \
      "Where it says that port $port is in use, another cluster or a \`millrace dev\` has it: end that, or give --port"
  await_cluster
  [[ $way == built ]] || load_shell_image
  touch "$state/ready"
}

# Also when the machine was restarted in between, and the nodes with it.
cluster_is_whole() {
  [[ -f $state/ready ]] || return 1
  local stopped
  stopped=$(docker ps --all --quiet --filter "label=io.x-k8s.kind.cluster=$name" --filter status=exited)
  if [[ -n $stopped ]]; then
    # shellcheck disable=SC2086
    docker start $stopped > /dev/null
  fi
  for _ in {1..60}; do
    kubectl --kubeconfig "$kubeconfig" get --raw=/readyz > /dev/null 2>&1 && return
    [[ -n $stopped ]] || break
    sleep 1
  done
  say "the cluster $name does not answer: making it anew"
  return 1
}

# Each systemd, kubelet and containerd of a node watches files. Where a kernel lets one user have 128 such watchers, which
# is its default, the nodes of a second cluster fail with "too many open files" and are never Ready.
room_for_watches() {
  local limit=/proc/sys/fs/inotify/max_user_instances wanted=1024
  (($(< "$limit") < wanted)) || return 0
  { echo "$wanted" > "$limit"; } 2> /dev/null \
    || say "nodes may lack watches of files: sudo sysctl fs.inotify.max_user_instances=$wanted gives them more"
}

await_cluster() {
  local k=(kubectl --kubeconfig "$kubeconfig")
  # Every node takes pods: three servers of a log go to three nodes.
  if ((nodes > 1)); then
    "${k[@]}" taint nodes --all node-role.kubernetes.io/control-plane:NoSchedule- > /dev/null 2>&1 || true
  fi
  "${k[@]}" apply -f "$here/storage-class.yaml" > /dev/null
  "${k[@]}" wait --for=condition=Ready node --all --timeout=180s > /dev/null || not_ready 'its nodes are not Ready'
  "${k[@]}" --namespace kube-system rollout status deployment/coredns --timeout=180s > /dev/null \
    || not_ready 'its DNS does not serve'
  "${k[@]}" --namespace local-path-storage rollout status deployment/local-path-provisioner --timeout=180s > /dev/null \
    || not_ready 'nothing makes volumes'
}

# Says what there is to see of a cluster that does not come up.
not_ready() { # WHY
  local k=(kubectl --kubeconfig "$kubeconfig") node
  {
    "${k[@]}" get nodes --output wide
    "${k[@]}" describe nodes | grep -E '^(Name|  (MemoryPressure|DiskPressure|PIDPressure|Ready)):? ' || true
    "${k[@]}" get pods --all-namespaces --output wide
    "${k[@]}" get events --all-namespaces --field-selector type=Warning --sort-by .lastTimestamp | tail -n 20
    for node in $(kind get nodes --name "$name"); do
      echo "the kubelet of $node:"
      docker exec "$node" journalctl --no-pager --lines 15 --unit kubelet
    done
    docker ps --all
  } >&2 || true
  die "the cluster $name did not come up: $1; what there is to see of it stands above"
}

# The nodes are zones, too, so that what spreads over zones has some.
kind_config() {
  cat << YAML
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
  - role: control-plane
    labels: {topology.kubernetes.io/zone: zone-a}
    extraPortMappings:
      - {containerPort: 30566, hostPort: $port, listenAddress: 127.0.0.1}
YAML
  ((nodes == 1)) || cat << 'YAML'
  - role: worker
    labels: {topology.kubernetes.io/zone: zone-b}
  - role: worker
    labels: {topology.kubernetes.io/zone: zone-c}
YAML
}

load_shell_image() {
  docker image inspect "$STOCK_SHELL_IMAGE" > /dev/null 2>&1 || docker pull --quiet "$STOCK_SHELL_IMAGE" > /dev/null
  docker tag "$STOCK_SHELL_IMAGE" "$SHELL_IMAGE"
  cluster_load "$SHELL_IMAGE"
}

cluster_load() {
  (($#)) || die 'load wants the names of images'
  kind load docker-image --quiet --name "$name" "$@" 9>&- \
    || die "the nodes of $name did not get $*: is there such a cluster (cluster up), and has docker the image (docker image ls)?"
}

cluster_reach() {
  local address
  address=$(docker port "$name-control-plane" 30566/tcp 2> /dev/null) || die "there is no cluster $name here: make it first (cluster --name $name up)"
  echo "http://${address%%$'\n'*}"
}

cluster_down() {
  tools
  # First, so that what a cut-short deletion leaves is not taken for a cluster.
  rm -f "$state/ready"
  kind delete cluster --quiet --name "$name" --kubeconfig "$kubeconfig"
  rm -rf "$state"
}

cluster_run() {
  (($#)) || die 'run wants a program'
  KUBECONFIG=$kubeconfig exec "$@"
}
