# The guard: ends the child's tree when its holder cannot, and then runs the program that releases the lease.
#
# It is a POSIX sh in its own session, so that a `kill -9` of the holder's process group does not reach it, and it ignores
# the signals that a container sends to all its processes. Its stdin is a pipe whose other end only the holder has. The
# holder writes lines into it. Each line is complete, so that only the last one counts:
#
#     orders DUE LEFT GRACE PID START GROUP RELEASE
#
#     DUE    when the tree is killed, in tenths of a second of /proc/uptime, which is not affected by changes of the date
#     LEFT   the same, counted from now, for systems without /proc/uptime; `-` before there is a child's deadline
#     GRACE  tenths of a second from SIGTERM to SIGKILL
#     PID    the child, START its start time (field 22 of /proc/PID/stat), GROUP `own` if it leads its own process group,
#            `shared` if it is in the holder's; each is `-` before the child is started
#     RELEASE  the stdin of the release program, in base64: it is never on disk, in an argument or in an environment
#
# The first orders come before the child is started. If the holder is killed between the start and the next line, the child
# is found by its mark in /proc/*/environ. A guard that is no longer needed is killed, with its group.
#
# - End of file: the holder was killed. SIGTERM to the tree, SIGKILL after the grace (at DUE at the latest), repeated until
#   two scans in a row have found no process. Then `PID START GROUP RELEASE` goes to the stdin of the release program, which
#   scans again. If anything fails, the lease is not released and expires. A scan counts only if it showed the guard itself.
# - Where /proc is that of another PID namespace, its pids are those of other processes: neither it nor ps, which reads it,
#   is used. Only the child's group is signalled. When `kill -0` does not find it, or SIGKILL was sent to it, the release
#   program checks whether it has ended: unlike the shell, it sees the error code of kill.
# - DUE while the holder is alive: it is stopped, or too slow. SIGKILL to the tree. The holder itself releases the lease.
#
# To be run as: sh -c 'eval "$MIGRATE_LOCK_GUARD"' NAME PROC RELEASE-PROGRAM ARGS...
# Only features common to dash, busybox, mksh and bash are used. Some of them have no `kill --` and no `kill -s`; mksh has
# 32-bit arithmetic and no builtin printf.

# Other users can read arguments, so the mark is in none. It goes to grep through a pipe.
mark="MIGRATE_LOCK_INSTANCES=[A-Za-z0-9_ -]*$MIGRATE_LOCK_GUARD_MARK"
unset MIGRATE_LOCK_GUARD MIGRATE_LOCK_GUARD_MARK
PATH=/usr/bin:/bin:$PATH
# Inherited descriptors are closed: a pipe's reader would wait until the guard closes it.
# Descriptor 3 may be the file of the release program.
case $2 in /proc/self/fd/3) ;; *) exec 3>&- ;; esac
exec 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
# Without these programs it could end only the group: the holder then starts the guard that is no shell.
for program in cat grep awk sleep; do command -v "$program" >/dev/null || exit 127; done
# Child processes (sleep, the release program) ignore these signals too.
trap '' HUP INT QUIT TERM PIPE
proc=$1
shift
due= left= grace= child=- start=- group=- release=- watcher= seen= grouped= gone= killed= tree=' ' terminated=' '

# In our own PID namespace, /proc/self has one pid, which is ours. Without /proc there is only ps.
foreign=
if [ -e "$proc/uptime" ] && ! [ -e "$proc/self" ]; then foreign=yes; fi
{
  while read -r name number inner; do
    case $name in
      Pid:) [ "$number" = $$ ] || foreign=yes ;;
      NSpid:) [ -z "$inner" ] || foreign=yes; break ;; # a shell reads byte by byte: the rest is long
    esac
  done <"$proc/self/status"
} 2>/dev/null

# Sets `now`, in tenths of a second. Without /proc/uptime it adds the time between two calls, from the date. If the date was
# changed in between, it adds a second.
counted=0 wall=
read_clock() {
  if { read -r up rest <"$proc/uptime"; } 2>/dev/null; then
    tenth=${up#*.}
    now=$((${up%%.*} * 10 + ${tenth%?}))
    return
  fi
  seconds=$(date +%s)
  passed=$((seconds - ${wall:-$seconds}))
  if [ -n "$wall" ] && { [ "$passed" -lt 0 ] || [ "$passed" -gt 5 ]; }; then passed=1; fi
  wall=$seconds counted=$((counted + passed * 10)) now=$counted
}

# Sleeps $1 seconds, or one second where sleep takes no fractions.
pause() { sleep "$1" || sleep 1; }

# Prints a line for each process: pid (name) state ppid group session ...; the 18th field after the name is the number of
# threads, the 20th the start time. Without /proc, ps has the first three fields.
list() {
  if [ -r "$proc/self/stat" ]; then
    cat "$proc"/[0-9]*/stat
  else
    ps -A -o pid=,stat=,ppid=,pgid= | while read -r pid state parent leader; do
      echo "$pid (?) $state $parent $leader - - - - - - - - - - - - - - 1 - -"
    done
  fi
}

# Prints `seen` if the guard itself is in the list, `grouped` if the child's group has members, the new value of `group`, and
# the live processes of the tree, each as pid:start:parent:state.
find_tree='
{
  # A name may contain blanks, brackets and line breaks: then the process continues on the next line.
  line = part $0
  rest = line
  sub(/^.*\) /, "", rest)
  if (split(rest, field, " ") < 20) { part = line " "; next }
  part = ""
  pid = line + 0
  if (pid == self) seen = "seen"
  # Another process has the child's pid, so the child's group has ended.
  if (pid == child && field[20] != start) group = "ended"
  # A zombie has exited, unless other threads of it still run.
  if (field[1] ~ /^X/ || (field[1] ~ /^Z/ && field[18] <= 1)) next
  pids[++count] = pid
  state[pid] = field[1]; parent[pid] = field[2]; leader[pid] = field[3]; session[pid] = field[4]; born[pid] = field[20]
}
END {
  split(marked, paths, " ")
  for (i in paths) { sub(/\/environ$/, "", paths[i]); sub(/^.*\//, "", paths[i]); belongs[paths[i]] = 1 }
  split(known, entries, " ")
  for (i in entries) { split(entries[i], word, ":"); if (born[word[1]] == word[2]) belongs[word[1]] = 1 }
  if (born[child] == start) belongs[child] = 1
  if (group == "own") {
    for (i = 1; i <= count; i++) {
      pid = pids[i]
      if (leader[pid] == child || session[pid] == child) { belongs[pid] = 1; grouped = "grouped" }
    }
  }
  do {
    grown = 0
    for (i = 1; i <= count; i++) {
      pid = pids[i]
      if (!(pid in tree) && ((pid in belongs) || (parent[pid] in tree))) {
        tree[pid] = grown = 1
        found = found " " pid ":" born[pid] ":" parent[pid] ":" state[pid]
      }
    }
  } while (grown)
  print (seen ? seen : "-"), (grouped ? grouped : "-"), group found
}'

# Whether text $1 contains $2.
has() {
  case $1 in *"$2"*) return 0 ;; esac
  return 1
}

# Scans for the tree: sets `tree`, `grouped`, and `seen` if the scan counts. Where /proc is foreign, sets `gone` if kill does
# not find the group.
scan() {
  if [ -n "$foreign" ]; then
    [ "$group" != own ] || kill -0 "-$child" || gone=yes
    return
  fi
  set -- $(echo "$mark" | LC_ALL=C grep -l -f - "$proc"/[0-9]*/environ)
  set -- $(list | LC_ALL=C awk -v self=$$ -v child="$child" -v start="$start" -v group="$group" \
    -v known="$tree" -v marked="$*" "$find_tree")
  seen=${1#-} grouped=${2#-} group=${3:-$group}
  [ $# -lt 3 ] || shift 3
  tree=" $*"
}

# Sends signal $1 to the process $2, unless another process has its pid by now.
send() {
  pid=${2%%:*} born=${2#*:}
  born=${born%%:*}
  if [ "$born" != - ]; then
    line=
    while read -r part; do line="$line$part "; done <"$proc/$pid/stat"
    set -- "$1" ${line##*') '}
    [ "${21}" = "$born" ] || return
  fi
  kill "-$1" "$pid"
}

# Sends SIGTERM once to each process, and none to those that a terminating process starts for its cleanup.
terminate_tree() {
  if [ -z "$seen" ] && [ "$group" = own ] && ! has "$terminated" ' group '; then
    terminated="${terminated}group "
    kill -TERM "-$child"
  fi
  before=$terminated
  for entry in $tree; do
    id=${entry%:*:*} parent=${entry#*:*:}
    parent=" ${parent%%:*}:"
    if ! has "$terminated" " $id:" && ! { has "$before" "$parent" && has "$tree" "$parent"; }; then
      terminated="$terminated$id: "
      send TERM "$entry"
    fi
    # A stopped process does not handle SIGTERM before SIGCONT.
    case ${entry##*:} in [Tt]*) send CONT "$entry" ;; esac
  done
}

# Sends SIGKILL to each process, and to the group in one call, which includes processes that are just forking. If no process
# can be seen, only the group is signalled.
kill_tree() {
  if [ "$group" = own ] && { [ -n "$grouped" ] || [ -z "$seen" ]; }; then kill -KILL "-$child"; fi
  [ -z "$foreign" ] || killed=yes
  for entry in $tree; do send KILL "$entry"; done
}

# Starts a watcher, which sends SIGKILL at DUE, for as long as processes are found or the guard is alive. If the guard and then
# the holder are killed, the watcher does not wait for DUE.
watch() {
  previous=$watcher
  {
    while read_clock && [ "$now" -lt "$due" ] && { kill -0 $$ || kill -0 "$PPID"; }; do
      if [ $((due - now)) -lt 10 ]; then pause 0.$((due - now)); else pause 1; fi
    done
    scans=0
    # After the group has ended, another group may get its id.
    while scan && [ -z "$gone" ]; do
      kill_tree
      scans=$((scans + 1))
      if [ "$tree" != ' ' ] && [ "$scans" -lt 20 ]; then
        pause 0.05
      elif [ "$tree" != ' ' ] || kill -0 $$; then
        pause 1
      else
        exit
      fi
    done
  } &
  watcher=$!
  # Only now: the guard may be killed in between.
  [ -z "$previous" ] || kill -KILL "$previous"
}

# Kills the guard and the processes that it has started.
quit() {
  kill -KILL "-$$"
  exit
}

echo ready
while read -r word a b c d e f g; do
  [ "$word" = orders ] || quit
  due=$a left=$b grace=$c child=$d start=$e group=$f release=$g
  [ -r "$proc/self/stat" ] || start=-
  if [ "$left" = - ]; then continue; fi
  [ -r "$proc/uptime" ] || { read_clock && due=$((now + left)); }
  watch
done

# The holder was killed. Without orders it had no lease.
[ -n "$due" ] || quit
read_clock
kill_at=$((now + grace)) scans=0 empty=0
while [ "$empty" -lt 2 ]; do
  scan
  read_clock
  # Without a deadline there is no child.
  if [ -n "$gone$killed" ] || [ "$foreign$left" = yes- ] || { [ -n "$seen" ] && [ "$tree" = ' ' ]; }; then
    empty=$((empty + 1))
  else
    empty=0
    # SIGKILL had no effect for a minute: another user's process, or one that hangs in the kernel.
    [ "$now" -lt $((kill_at + 600)) ] || quit
    if [ "$now" -lt "$kill_at" ]; then terminate_tree; else kill_tree; fi
  fi
  scans=$((scans + 1))
  if [ "$scans" -lt 20 ]; then pause 0.05; else pause 0.3; fi
done
[ "$release" = - ] || echo "$child $start $group $release" | "$@" >/dev/null
quit
