# The guard: ends the child's tree when its holder cannot, and then has the lease released.
#
# It is a POSIX sh in a session of its own, so that a `kill -9` of the holder's process group does not reach it, and it
# ignores the signals that go to whole containers. Its stdin is a pipe whose other end only the holder has. The holder
# writes lines into it, each of them the whole truth at that time, so that only the last one counts:
#
#     orders DUE LEFT GRACE PID START GROUP RELEASE
#
#     DUE    when the tree must be gone, in tenths of a second of /proc/uptime, a clock that no step moves
#     LEFT   the same, counted from now: for systems without /proc/uptime; `-` as long as there is no lease, and so no
#            child to watch
#     GRACE  tenths of a second from SIGTERM to SIGKILL
#     PID    the child, START its start time (field 22 of /proc/PID/stat), GROUP `own` if it leads a group of its own,
#            `shared` if it is in the holder's; a `-` in place of each as long as it is not started
#     RELEASE  what the release program needs, in base64: it is never on disk, in an argument or in an environment
#
# The first orders come before the child is started. So when the holder dies between its start and the next line, the
# child is found by its mark in /proc/*/environ. A guard that is not needed any more is killed, with its group.
#
# - End of file: the holder is dead. SIGTERM to the tree, SIGKILL after the grace (at DUE at the latest), again and again
#   until two looks in a row have found nobody; then `PID START GROUP RELEASE` goes to the stdin of the release program,
#   which looks once more. If anything fails, nothing is released, and the lease runs out: a look counts only if it
#   showed the guard itself.
# - Where /proc is that of another PID namespace, its numbers belong to others: neither it nor ps, which reads it, is used.
#   Only the child's group is signalled then. When `kill -0` does not find it, or SIGKILL was sent to it, the release program
#   looks whether it is gone: it hears why a signal failed.
# - DUE while the holder lives: it is stopped, or too slow. SIGKILL to the tree, and no release: that is still the holder's.
#
# To be run as: sh -c 'eval "$MIGRATE_LOCK_GUARD"' NAME PROC RELEASE-PROGRAM ARGS...
# Only what dash, busybox, mksh and bash all do is used. `kill` knows no `--` and no `-s` in some of them; mksh counts with
# 32 bits and has no builtin printf.

# Other users can read arguments: the mark is in no command's, but goes to grep through a pipe.
mark="MIGRATE_LOCK_INSTANCES=[A-Za-z0-9_ -]*$MIGRATE_LOCK_GUARD_MARK"
unset MIGRATE_LOCK_GUARD MIGRATE_LOCK_GUARD_MARK
PATH=/usr/bin:/bin:$PATH
# What others have left open in the holder is none of the guard's business: a reader of it would wait for its end.
exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
# What is ignored here is ignored by the sleeps and by the release program too.
trap '' HUP INT QUIT TERM PIPE
proc=$1
shift
due= left= grace= child=- start=- group=- release=- watcher= seen= grouped= gone= killed= tree=' ' asked=' '

# /proc/self shows us with one number, our own, where /proc is ours; without any /proc there is only ps.
foreign=
if [ -e "$proc/uptime" ] && ! [ -e "$proc/self" ]; then foreign=yes; fi
{
  while read -r name number inner; do
    case $name in
      Pid:) [ "$number" = $$ ] || foreign=yes ;;
      NSpid:) [ -z "$inner" ] || foreign=yes ;;
    esac
  done <"$proc/self/status"
} 2>/dev/null

# Sets `now`, in tenths of a second. Without /proc/uptime it counts on from one call to the next, by the date where that
# did not jump, and takes a second for each call where it did.
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

# Sleeps so many seconds; a whole one where sleep takes no fractions.
pause() { sleep "$1" || sleep 1; }

# A line for each process: pid (name) state ppid group session ..., the 18th after the name is the number of threads, the
# 20th the start time. Without /proc, ps tells the first three.
list() {
  if [ -r "$proc/self/stat" ]; then
    cat "$proc"/[0-9]*/stat
  else
    ps -A -o pid=,stat=,ppid=,pgid= | while read -r pid state parent leader; do
      echo "$pid (?) $state $parent $leader - - - - - - - - - - - - - - 1 - -"
    done
  fi
}

# Prints `seen` if the guard itself is in the list, `grouped` if somebody is in the child's group, what `group` is now, and
# the tree's live processes, each as pid:start:parent:state.
find_tree='
{
  # A name may hold blanks, brackets and line breaks (but no twenty words): then its line goes on with the next.
  line = part $0
  rest = line
  sub(/^.*\) /, "", rest)
  if (split(rest, field, " ") < 20) { part = line " "; next }
  part = ""
  pid = line + 0
  if (pid == self) seen = "seen"
  # The number of the child with another start time: it was free in between, and so was that of the group.
  if (pid == child && field[20] != start) group = "over"
  # A zombie has ended, unless threads of it run on.
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

# Whether text $1 holds $2.
has() {
  case $1 in *"$2"*) return 0 ;; esac
  return 1
}

# Looks for the tree: sets `tree`, `grouped`, and `seen` if the look counts; `gone` if nobody can be seen, and the group is.
look() {
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

# Sends signal $1 to the process $2, unless its number is somebody else's by now.
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

# SIGTERM once to each; what one that is shutting down starts for its cleanup is left to it until the SIGKILL.
ask() {
  if [ -z "$seen" ] && [ "$group" = own ] && ! has "$asked" ' group '; then
    asked="${asked}group "
    kill -TERM "-$child"
  fi
  before=$asked
  for entry in $tree; do
    id=${entry%:*:*} parent=${entry#*:*:}
    parent=" ${parent%%:*}:"
    if ! has "$asked" " $id:" && ! { has "$before" "$parent" && has "$tree" "$parent"; }; then
      asked="$asked$id: "
      send TERM "$entry"
    fi
    # A stopped one could not act on it.
    case ${entry##*:} in [Tt]*) send CONT "$entry" ;; esac
  done
}

# SIGKILL to each, and to the group in one step that no fork escapes. If nothing can be seen, the group is all there is.
force() {
  if [ "$group" = own ] && { [ -n "$grouped" ] || [ -z "$seen" ]; }; then kill -KILL "-$child"; fi
  [ -z "$foreign" ] || killed=yes
  for entry in $tree; do send KILL "$entry"; done
}

# At DUE, whatever the holder does: SIGKILL, for as long as anybody is found or the guard lives. This is also what is left when
# somebody kills the guard and, before there is a new one, the holder: then it does not wait for DUE.
watch() {
  [ -z "$watcher" ] || kill -KILL "$watcher"
  {
    while read_clock && [ "$now" -lt "$due" ] && { kill -0 $$ || kill -0 "$PPID"; }; do
      if [ $((due - now)) -lt 10 ]; then pause 0.$((due - now)); else pause 1; fi
    done
    looks=0
    # A group that is gone is not looked for again: its number may be somebody else's later.
    while look && [ -z "$gone" ]; do
      force
      looks=$((looks + 1))
      if [ "$tree" != ' ' ] && [ "$looks" -lt 20 ]; then
        pause 0.05
      elif [ "$tree" != ' ' ] || kill -0 $$; then
        pause 1
      else
        exit
      fi
    done
  } &
  watcher=$!
}

# Ends with all that it has started.
leave() {
  kill -KILL "-$$"
  exit
}

echo ready
while read -r word a b c d e f g; do
  [ "$word" = orders ] || leave
  due=$a left=$b grace=$c child=$d start=$e group=$f release=$g
  [ -r "$proc/self/stat" ] || start=-
  if [ "$left" = - ]; then continue; fi
  [ -r "$proc/uptime" ] || { read_clock && due=$((now + left)); }
  watch
done

# The holder is dead. Without orders it had no lease.
[ -n "$due" ] || leave
read_clock
kill_at=$((now + grace)) looks=0 empty=0
while [ "$empty" -lt 2 ]; do
  look
  read_clock
  # Without a lease there was no child.
  if [ -n "$gone$killed" ] || [ "$foreign$left" = yes- ] || { [ -n "$seen" ] && [ "$tree" = ' ' ]; }; then
    empty=$((empty + 1))
  else
    empty=0
    # A minute of SIGKILL did not help: somebody else's process, or one that hangs in the kernel.
    [ "$now" -lt $((kill_at + 600)) ] || leave
    if [ "$now" -lt "$kill_at" ]; then ask; else force; fi
  fi
  looks=$((looks + 1))
  if [ "$looks" -lt 20 ]; then pause 0.05; else pause 0.3; fi
done
[ "$release" = - ] || echo "$child $start $group $release" | "$@" >/dev/null
leave
