# shellcheck shell=bash disable=SC2034
# What the clusters are made of.

# 1.34 is the newest Kubernetes that accepts cgroup v1 and the containerd of Debian bookworm as they are.
KUBERNETES_VERSION=v1.34.3
KIND_VERSION=v0.33.0
HELM_VERSION=v4.3.1
ETCD_VERSION=v3.6.16
COREDNS_VERSION=v1.14.7
LOCAL_PATH_VERSION=v0.0.30
DEBIAN_SUITE=bookworm

STOCK_NODE_IMAGE=kindest/node:$KUBERNETES_VERSION
STOCK_SHELL_IMAGE=busybox:1.37.0
# A shell and a few network tools, for pods of tests. The nodes of every cluster have it.
SHELL_IMAGE=millrace.local/shell:1
