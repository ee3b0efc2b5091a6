#!/bin/bash
# Made by `warmpod bake plan --output user-data`. For an instance of the AL2023 EKS AMI that your nodes have, with an
# empty second volume and a role that may read your ECR repositories. When it is done it says so on the console and
# stops; then make a snapshot of the second volume. When it fails it says why and stays, for you to look at.
set -euo pipefail

readonly DEVICE=/dev/xvdb
readonly STORE=/var/lib/containerd
readonly PLATFORM=@PLATFORM@
readonly PAUSE=localhost/kubernetes/pause:latest

say() {
  echo "warmpod-bake: $*"
  echo "warmpod-bake: $*" >/dev/console 2>/dev/null || true
}

failed() {
  say "FAILED in line $1"
}
trap 'failed "$LINENO"' ERR

images() {
  ctr -n k8s.io images "$@"
}

# The digest of an image that is here; nothing for one that is not.
digest_of() {
  images ls "name==$1" | awk 'NR > 1 { print $3 }'
}

# pull NAME ECR-REGION DIGEST: the last two may be empty.
pull() {
  local name=$1 region=$2 digest=$3 attempt found
  local -a login=()
  for attempt in 1 2 3 4 5; do
    if [[ -n $region ]]; then
      login=(--user "AWS:$(aws ecr get-login-password --region "$region")")
    fi
    # Without the first label the kubelet does not see the image; with the second it never deletes it.
    if images pull --platform "$PLATFORM" --label io.cri-containerd.image=managed \
      --label io.cri-containerd.pinned=pinned "${login[@]}" "$name" >/dev/null; then
      break
    fi
    if ((attempt == 5)); then
      say "$name cannot be pulled"
      return 1
    fi
    sleep $((attempt * 5))
  done
  found=$(digest_of "$name")
  if [[ -n $digest && $found != "$digest" ]]; then
    say "$name is $found now, and was $digest when the plan was made: plan again, with --registry"
    return 1
  fi
  say "baked $name $found"
}

for _ in {1..60}; do
  if [[ -b $DEVICE ]]; then break; fi
  sleep 1
done
if [[ ! -b $DEVICE ]]; then
  say "there is no second volume $DEVICE"
  exit 1
fi
if blkid "$DEVICE" >/dev/null; then
  say "$DEVICE is not empty"
  exit 1
fi

systemctl stop kubelet || true
systemctl stop containerd || true

# What the AMI brings in its store, the pause image above all, moves to the volume: without that no node gets ready.
mkfs.xfs -q "$DEVICE"
mkdir -p /mnt/warmpod-bake "$STORE"
mount "$DEVICE" /mnt/warmpod-bake
cp -a "$STORE/." /mnt/warmpod-bake/
umount /mnt/warmpod-bake
mount -o noatime "$DEVICE" "$STORE"

systemctl start containerd
for _ in {1..60}; do
  if ctr version >/dev/null 2>&1; then break; fi
  sleep 1
done

if [[ -z $(digest_of "$PAUSE") ]]; then
  images import /etc/eks/pause.tar
fi
images label "$PAUSE" io.cri-containerd.pinned=pinned >/dev/null

@PULLS@

systemctl stop containerd
sync
umount "$STORE"
say "DONE"
systemctl poweroff
