# shellcheck shell=bash disable=SC2154,SC2164
# The image that kind's nodes run from. Built: a Debian root file system, what kind's own module says a node holds,
# the parts of Kubernetes, and in its containerd the images of the control plane.
#
# Its tag is a digest of all that goes into it. A copy in the cache serves a docker that has lost it.

node_image_name() {
  if [[ $way == stock ]]; then
    echo "$STOCK_NODE_IMAGE"
  else
    echo "millrace.local/node:$KUBERNETES_VERSION-$(node_image_digest)"
  fi
}

node_image_digest() {
  cat "$here/versions.sh" "$here/node-image.sh" "$here/bounded-runc" "$here/node/"* | sha256sum | cut -c 1-12
}

node_image() {
  local image copy
  image=$(node_image_name)
  ! docker image inspect "$image" > /dev/null 2>&1 || return 0
  if [[ $way == stock ]]; then
    say "pulling $image"
    docker pull --quiet "$image" > /dev/null
    return
  fi
  copy=$kind_cache/node-$(node_image_digest).tar.zst
  packages_present zstd:zstd
  if [[ -f $copy ]]; then
    say "loading $image from $copy"
    zstd --quiet --decompress --stdout "$copy" | docker load --quiet > /dev/null
    return
  fi
  build_node_image "$image"
  say "keeping a copy of $image"
  rm -f "$kind_cache"/node-*.tar.zst "$kind_cache"/node-*.new
  docker save "$image" | zstd --quiet -3 -T0 --force -o "$copy.new"
  mv "$copy.new" "$copy"
}

build_node_image() { # IMAGE
  packages_present mmdebstrap:mmdebstrap gcc:gcc jq:jq
  # A static program needs the C library's archive as well.
  echo 'int main(void) { return 0; }' | gcc -static -x c -o /dev/null - 2> /dev/null || packages_install libc6-dev
  tool etcd go.etcd.io/etcd/server/v3 "$ETCD_VERSION"
  tool coredns github.com/coredns/coredns "$COREDNS_VERSION"
  tool local-path-provisioner github.com/rancher/local-path-provisioner "$LOCAL_PATH_VERSION"
  root_file_system

  say "building $1: about two minutes"
  local context node
  context=$(mktemp -d)
  quietly docker import "$kind_cache/root.tar" millrace.local/root
  node_images "$context"
  node_context "$context/node"
  quietly docker build --build-arg "VERSION=$KUBERNETES_VERSION" --tag millrace.local/node-base "$context/node"

  # The control plane's images go into the containerd of a running node, which is then committed as an image.
  docker rm --force millrace-node-build > /dev/null 2>&1 || true
  node=$(docker run --detach --privileged --name millrace-node-build --entrypoint sleep millrace.local/node-base infinity)
  docker exec "$node" bash -c '
    containerd > /var/log/containerd.log 2>&1 &
    for _ in {1..120}; do ctr version > /dev/null 2>&1 && exit; sleep 0.5; done
    cat /var/log/containerd.log >&2
    exit 1'
  docker save "${images[@]}" | docker exec --interactive "$node" ctr --namespace k8s.io images import --no-unpack - > /dev/null
  docker exec "$node" bash -c 'kill "$(pidof containerd)"; while pidof containerd > /dev/null; do sleep 0.1; done'
  quietly docker commit --change 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]' "$node" "$1"
  docker rm --force "$node" > /dev/null
  rm -rf "$context"
}

root_file_system() {
  [[ ! -f $kind_cache/root.tar ]] || return 0
  local packages=(
    systemd conntrack iptables nftables iproute2 ethtool mount kmod libseccomp2 pigz ca-certificates jq procps
    runc containerd containernetworking-plugins busybox-static
  )
  say "making a root file system of Debian $DEBIAN_SUITE"
  quietly mmdebstrap --variant=minbase "--include=$(IFS=,; echo "${packages[*]}")" "$DEBIAN_SUITE" "$kind_cache/root.new.tar"
  mv "$kind_cache/root.new.tar" "$kind_cache/root.tar"
}

# What is in the build of the node: kind's files, ours, and the programs that a node runs itself.
node_context() { # DIRECTORY
  local kind
  mkdir -p "$1/programs"
  kind=$(cd "$kind_cache/m/kind" && go list -m -f '{{.Dir}}' sigs.k8s.io/kind)
  cp -r "$kind/images/base/files" "$1/files"
  chmod -R u+w "$1/files"
  # A node here may not protect its processes from the out-of-memory killer.
  sed -i 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' "$1/files/etc/containerd/config.toml"
  cp "$bin"/{kubeadm,kubelet,kubectl} "$1/programs/"
  cp "$here/bounded-runc" "$1/runc"
  cp "$here/node/"{Dockerfile,default-cni.yaml,default-storage.yaml} "$1/"
}

# The images that pods of a node run from, by the names that kubeadm and the manifests know. Sets `images`.
node_images() { # DIRECTORY
  local name
  quietly gcc -Os -static -o "$1/pause" "$here/node/pause.c"
  images=()
  while read -r name; do
    case $name in
      */kube-proxy:*) image_of "$name" "$bin/kube-proxy" millrace.local/root ;;
      */kube-*) image_of "$name" "$bin/$(program_of "$name")" scratch ;;
      */etcd:*) image_of "$name" "$bin/etcd" scratch ;;
      */coredns:*) image_of "$name" "$bin/coredns" scratch ;;
      */pause:*) image_of "$name" "$1/pause" scratch ;;
      *) die "kubeadm wants an image that nobody told this script how to build: $name" ;;
    esac
  done < <("$bin/kubeadm" config images list --kubernetes-version "$KUBERNETES_VERSION" 2> /dev/null; echo registry.k8s.io/pause:3.10)
  image_of millrace.local/network:1 "$here/node/network" millrace.local/root "$bin/kubectl"
  image_of millrace.local/local-path-provisioner:1 "$bin/local-path-provisioner" scratch
  shell_image
}

program_of() { # IMAGE NAME
  local last=${1##*/}
  echo "${last%%:*}"
}

image_of() { # NAME PROGRAM BASE [FURTHER FILE]
  local context program
  program=$(basename "$2")
  context=$(mktemp -d)
  cp "$2" ${4:+"$4"} "$context/"
  cat > "$context/Dockerfile" << DOCKERFILE
FROM $3
COPY $program ${4:+$(basename "${4:-}")} /usr/local/bin/
ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ENTRYPOINT ["/usr/local/bin/$program"]
DOCKERFILE
  quietly docker build --tag "$1" "$context"
  rm -rf "$context"
  images+=("$1")
}

# One static busybox under all its names.
shell_image() {
  local context
  context=$(mktemp -d)
  tar --extract --file "$kind_cache/root.tar" --directory "$context" --transform 's,.*/,,' --wildcards '*bin/busybox'
  cat > "$context/Dockerfile" << 'DOCKERFILE'
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ENV PATH=/bin
CMD ["/bin/sh"]
DOCKERFILE
  quietly docker build --tag "$SHELL_IMAGE" "$context"
  rm -rf "$context"
  images+=("$SHELL_IMAGE")
}
