# Runs a command as in a container whose image is a folder: sh enter.sh ROOT EXECUTABLE APP USER PROC SHM INIT COMMAND...
# As the first process of PID and mount namespaces of its own. USER: empty for the present one. PROC: options of /proc.
# SHM: with /dev/shm. INIT: the command is not process 1, which outlives it until no process is left (a pod with one process
# namespace).
set -e
root=$1 executable=$2 app=$3 user=$4 proc=$5 shm=$6 init=$7
shift 7

mount --bind "$root" "$root"
mount --bind "$executable" "$root/usr/local/bin/migrate-lock"
mount --bind "$app" "$root/app"
for device in null zero random urandom; do
  mount --bind "/dev/$device" "$root/dev/$device"
done
[ -z "$shm" ] || mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
mount -t proc -o "$proc" proc "$root/proc"
for place in "$root" "$root/app" "$root/usr/local/bin/migrate-lock"; do
  mount -o remount,bind,ro "$place"
done

enter() { exec chroot ${user:+"--userspec=$user" --groups=} "$root" "$@"; }
[ -n "$init" ] || enter "$@"
enter "$@" &
code=0
wait $! || code=$?
# Each `sleep` also makes this shell reap what it has adopted.
while kill -0 -1 2> /dev/null; do sleep 0.1; done
exit "$code"
