# shellcheck shell=bash disable=SC2154,SC2164
# kind, helm and kubectl; and the parts of Kubernetes, where they have to be built.
#
# Each tool is built in a Go module of its own ($kind_cache/m/NAME), under a name that nobody looks for, and moved to
# its place when it is whole. A binary says itself of which version it is, so nothing else has to remember that.

# What people use: from PATH in the stock way, of our own version in the other.
tools() {
  if [[ $way == built ]]; then
    tool kind sigs.k8s.io/kind "$KIND_VERSION"
    tool helm helm.sh/helm/v4/cmd/helm "$HELM_VERSION"
    kubernetes kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubeadm kubectl
    return
  fi
  command -v kind > /dev/null || tool kind sigs.k8s.io/kind "$KIND_VERSION"
  command -v helm > /dev/null || tool helm helm.sh/helm/v4/cmd/helm "$HELM_VERSION"
  command -v kubectl > /dev/null || kubernetes kubectl
}

# Where nodes come from: $way. What is here already is taken, without asking anybody.
choose_way() {
  way=${MILLRACE_KIND:-}
  case $way in
    stock | built) ;;
    '')
      if [[ -x $bin/kubelet ]]; then
        way=built
      elif docker image inspect "$STOCK_NODE_IMAGE" > /dev/null 2>&1 \
        || timeout 20 docker manifest inspect "$STOCK_NODE_IMAGE" > /dev/null 2>&1; then
        way=stock
      else
        way=built
      fi
      ;;
    *) die "MILLRACE_KIND is stock or built, not: $way" ;;
  esac
  # The stock way takes the tools that are there, and builds those that are not.
  if [[ $way == built ]]; then PATH=$bin:$PATH; else PATH=$PATH:$bin; fi
}

tool() { # NAME PACKAGE VERSION
  local name=$1 package=$2 version=$3 directory=$kind_cache/m/$1
  is_of_version "$bin/$name" "$version" && return
  go_present
  say "building $name $version"
  mkdir -p "$directory" "$bin"
  [[ -f $directory/go.mod ]] || (cd "$directory" && quietly go mod init millrace-tools)
  (
    cd "$directory"
    quietly go get -tool "$package@$version"
    CGO_ENABLED=0 quietly go build -trimpath -ldflags '-s -w' -o "$bin/$name.new" "$package"
  )
  mv "$bin/$name.new" "$bin/$name"
}

# Kubernetes' own module names its parts at v0.0.0 and replaces them by folders, so they are replaced here by the
# modules of the same release.
kubernetes() { # COMMAND…
  local name missing=()
  for name; do
    is_of_version "$bin/$name" "$KUBERNETES_VERSION" || missing+=("$name")
  done
  ((${#missing[@]})) || return 0
  go_present
  packages_present jq:jq
  say "building ${missing[*]} $KUBERNETES_VERSION: about a minute each"
  local directory=$kind_cache/m/kubernetes.new part parts gomod
  rm -rf "$directory"
  mkdir -p "$directory" "$bin/new"
  (
    cd "$directory"
    quietly go mod init millrace-tools
    gomod=$(go mod download -json "k8s.io/kubernetes@$KUBERNETES_VERSION" | jq -r .GoMod)
    go mod edit -require="k8s.io/kubernetes@$KUBERNETES_VERSION"
    parts=$(awk '$1 ~ /^k8s\.io\// && $2 == "v0.0.0" { print $1 }' "$gomod" | sort -u)
    for part in $parts; do
      go mod edit -replace="$part=$part@v0.${KUBERNETES_VERSION#v1.}"
    done
    {
      printf '//go:build tools\n\npackage tools\n\nimport (\n'
      printf '\t_ "k8s.io/kubernetes/cmd/%s"\n' "${missing[@]}"
      printf ')\n'
    } > tools.go
    # Some modules that only tests of the parts need have no version of their own: -e goes on without them, and the
    # build below fails if anything was missing after all.
    go mod tidy -e > "$kind_cache/go.log" 2>&1 || true
    CGO_ENABLED=0 quietly go build -mod=mod -trimpath -ldflags "$(version_flags)" -o "$bin/new/" \
      "${missing[@]/#/k8s.io/kubernetes/cmd/}"
  )
  mv "$bin/new"/* "$bin/"
  rm -rf "$bin/new" "$kind_cache/m/kubernetes"
  mv "$directory" "$kind_cache/m/kubernetes"
}

# kubeadm refuses to work without a version.
version_flags() {
  local package minor=${KUBERNETES_VERSION#v1.}
  printf -- '-s -w'
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    printf -- ' -X %s.gitVersion=%s -X %s.gitMajor=1 -X %s.gitMinor=%s -X %s.gitTreeState=clean' \
      "$package" "$KUBERNETES_VERSION" "$package" "$package" "${minor%%.*}" "$package"
  done
}

is_of_version() { # BINARY VERSION
  [[ -x $1 ]] && go version -m "$1" 2> /dev/null | awk -v wanted="$2" '$1 == "mod" { found = $3 == wanted } END { exit !found }'
}

go_present() {
  command -v go > /dev/null || die 'go is missing: install Go 1.26 or newer'
}

# Go says much when all is well. Its last words are shown when it is not.
quietly() {
  "$@" > "$kind_cache/go.log" 2>&1 || die "this failed: $*" "$(tail -n 15 "$kind_cache/go.log")"
}
