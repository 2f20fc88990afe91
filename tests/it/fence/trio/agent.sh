#!/bin/sh
# A fencing device that writes down what it is asked for. Arguments: device, action, target, peer.
#
# What it does is in files beside it, "<exit code> <seconds>": <device>.<action>.once (used once),
# <device>.<action>.<peer>, <device>.<action>. Without one it succeeds at once. Two that act on one target
# at one time are found by a lock, which the kernel takes from whoever is killed.
dir=${0%/*}
tell() { echo "$1 $(date +%s%N) $device $action $target $peer $$" >>"$dir/log"; }
device=$1 action=$2 target=$3 peer=$4
exec 9>"$dir/busy.$target"
if [ ! -e "$dir/parallel" ]; then
    flock -n 9 || tell overlap
fi
trap 'tell ended; kill $! 2>/dev/null; exit 143' TERM
tell start
set -- 0 0
if mv "$dir/$device.$action.once" "$dir/once.$$" 2>/dev/null; then
    set -- $(cat "$dir/once.$$")
elif [ -e "$dir/$device.$action.$peer" ]; then
    set -- $(cat "$dir/$device.$action.$peer")
elif [ -e "$dir/$device.$action" ]; then
    set -- $(cat "$dir/$device.$action")
fi
if [ "$2" != 0 ]; then
    sleep "$2" &
    wait $!
fi
tell end
exit "$1"
