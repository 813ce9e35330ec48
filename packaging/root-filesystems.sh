#!/bin/sh
# Lays out, as folders, the root filesystems in which tests/images runs the executable: what images would contain, without a
# container engine.
#
#   packaging/root-filesystems.sh EXECUTABLE [FOLDER]
#
#   debian      Debian with Alembic, Django, sqitch and psql, without Node
#   python      Python with Alembic and Django, without a shell or any other program
#   distroless  psql and the libraries that it and the executable need, without a shell
#   busybox     the same with busybox, the only shell
#
# FOLDER, or ROOT_FILESYSTEMS, or node_modules/.cache/root-filesystems. A folder that is complete is kept until its recipe changes.
# Needs root, and Debian's mmdebstrap (apt-get install mmdebstrap).
set -eu

executable=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
folder=${2:-${ROOT_FILESYSTEMS:-$here/../node_modules/.cache/root-filesystems}}
suite=bookworm
packages=alembic,python3-django,python3-psycopg2,sqitch,libdbd-pg-perl,postgresql-client,busybox-static,ca-certificates

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
umask 022

# lay_out NAME RECIPE: builds the root in "$new" by the function of its name, unless it is there with this recipe.
lay_out() {
  if [ -e "$folder/$1.recipe" ] && [ "$(cat "$folder/$1.recipe")" = "$2" ]; then return; fi
  echo "laying out $1" >&2
  new=$folder/.$1.new
  rm -rf "$new" "$folder/$1.recipe" "${folder:?}/$1"
  "$1"
  mount_points "$new"
  mv "$new" "$folder/$1"
  printf '%s\n' "$2" > "$folder/$1.recipe"
}

# The tests mount the executable, the application, /proc and some devices on these.
mount_points() {
  mkdir -p "$1/usr/local/bin" "$1/app" "$1/proc" "$1/dev/shm"
  : > "$1/usr/local/bin/migrate-lock"
  chmod 755 "$1/usr/local/bin/migrate-lock"
  for device in null zero random urandom; do
    [ -e "$1/dev/$device" ] || : > "$1/dev/$device"
  done
}

debian() {
  if ! command -v mmdebstrap > /dev/null; then
    echo 'there is no mmdebstrap: apt-get install mmdebstrap' >&2
    exit 1
  fi
  mmdebstrap --quiet --mode=root --variant=essential --include="$packages" "$suite" "$new" >&2
}

# The programs of Python alone: the others are removed, shells first of all.
python() {
  cp -al "$folder/debian" "$new"
  for bin in bin sbin usr/bin usr/sbin usr/local/bin usr/local/sbin usr/games; do
    [ -d "$new/$bin" ] && [ ! -L "$new/$bin" ] || continue
    find "$new/$bin" ! -type d ! -name 'python3*' ! -name alembic ! -name django-admin -delete
  done
  rm -rf "$new/usr/lib/postgresql" "$new/tmp" "$new"/usr/lib/*/perl* "$new"/usr/share/perl*
}

psql_in_debian() { (cd "$folder/debian" && ls -d usr/lib/postgresql/*/bin/psql); }

# The files that the loader opens, as paths in the Debian root. The executable is there as a file of another name.
libraries() {
  cp "$executable" "$folder/debian/.executable"
  for program in /.executable "/$(psql_in_debian)"; do
    chroot "$folder/debian" ldd "$program"
  done | grep -o '/[^ ]*' | grep -v ':$' | sort -u
  rm "$folder/debian/.executable"
}

distroless() {
  mkdir -p "$new/etc/ssl/certs" "$new/usr/bin"
  for library in $needed; do
    mkdir -p "$new/$(dirname "$library")"
    cp -L "$folder/debian/$library" "$new/$library"
  done
  cp "$folder/debian/$(psql_in_debian)" "$new/usr/bin/psql"
  cp "$folder/debian/etc/ssl/certs/ca-certificates.crt" "$new/etc/ssl/certs/"
  # As in gcr.io/distroless: three users, none of them the one that the tests run as.
  printf '%s\n' 'root:x:0:0:root:/root:/sbin/nologin' 'nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin' \
    'nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin' > "$new/etc/passwd"
  printf '%s\n' 'hosts: files dns' > "$new/etc/nsswitch.conf"
}

busybox() {
  distroless
  mkdir -p "$new/bin"
  cp "$folder/debian/bin/busybox" "$new/bin/busybox"
  for applet in $(chroot "$folder/debian" busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox "$new/bin/$applet"
  done
}

lay_out debian "$suite $packages"
needed=$(libraries)
lay_out python "of $(cat "$folder/debian.recipe")"
lay_out distroless "$needed"
lay_out busybox "$needed"
