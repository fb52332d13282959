#!/usr/bin/env bash
# Back up an installed hivewatch (configuration, credentials, sightings, pictures), or restore a backup.
#
#   sudo deploy/backup.sh FILE.tar             the service keeps running; keep the file safe, it contains passwords
#   sudo deploy/backup.sh restore FILE.tar     on this or another machine, after deploy/install.sh
#
# Sightings stored elsewhere (store.directory) are not included.
# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

main() {
    case $# in
        1) [[ $1 != -* && $1 != restore ]] || usage ;;
        2) [ "$1" = restore ] || usage ;;
        *) usage ;;
    esac
    require_root_and_systemd
    [ -x "$current/bin/python" ] || die "hivewatch is not installed; run deploy/install.sh first"
    one_at_a_time
    if [ $# -eq 1 ]; then backup "$(realpath "$1")"; else restore "$(realpath "$2")"; fi
}

usage() {
    sed -n '2,/^# shellcheck/s/^# \{0,1\}//p' "$0" | head -n -1
    exit 2
}

backup() {
    local file=$1
    [[ "$file" != "$data_folder"/* ]] || die "$file is inside $data_folder, which is backed up; choose another folder"
    warn_of_other_stores
    umask 0077
    staging=$(mktemp --directory "$file.XXXXXX")
    trap 'rm -rf "$staging"' EXIT
    # Databases first: each picture is written before the row that names it.
    copy_databases
    tar --create --file "$staging/backup.tar" --directory / --exclude='hivewatch.db*' --exclude='hivewatch.lock' \
        --warning=no-file-removed --warning=no-file-changed "${config_folder#/}" "${data_folder#/}" ||
        [ $? -eq 1 ] || die "tar failed; see its messages above, and check the free space in $(dirname "$file")"
    (cd "$staging/root" && find . -type f -printf '%P\n') |
        tar --append --file "$staging/backup.tar" --directory "$staging/root" --files-from -
    sync "$staging/backup.tar"
    mv --no-target-directory "$staging/backup.tar" "$file"
    say "$file: $(du --human-readable "$file" | cut -f1), $(tar --list --file "$file" | grep -c '\.jpg$' || true) pictures"
}

# copy_databases: copy a consistent state of each database to the same path below $staging/root.
copy_databases() {
    local database copy
    mkdir "$staging/root"
    for database in "$data_folder"/hivewatch.db "$data_folder"/*/hivewatch.db; do
        [ -e "$database" ] || continue
        copy=$staging/root$database
        mkdir -p "$(dirname "$copy")"
        "$current/bin/python" -I -c 'import sqlite3, sys
source, copy = (sqlite3.connect(path, timeout=60) for path in sys.argv[1:])
source.backup(copy)' "$database" "$copy" || die "$database could not be copied; see the messages above"
        chmod 0640 "$copy"
    done
}

warn_of_other_stores() {
    local file folder
    for file in "$config_folder"/*.yaml; do
        # A backup is often made before an upgrade, so the installed release may be older than this script.
        folder=$("$current/bin/python" -I -c 'import sys; from pathlib import Path
try:
    from hivewatch.config.reader import load
except ImportError: # before 0.4
    from hivewatch.config_reader import load
print(load(Path(sys.argv[1])).store.directory)' "$file" 2>/dev/null) || continue
        [[ "$folder/" == "$data_folder"/* ]] || say "Not in the backup: $folder, where $file stores its sightings"
    done
}

restore() {
    local file=$1 unit folder running
    tar --list --file "$file" "${config_folder#/}" "${data_folder#/}" >/dev/null 2>&1 ||
        die "$file is not a backup of hivewatch, or is damaged; nothing was changed"
    running=$(running_units)
    for unit in $running; do systemctl stop "$unit"; done
    for folder in "$config_folder" "$data_folder"; do
        [ ! -e "$folder" ] || mv "$folder" "$folder.before-$(date --utc +%Y%m%dT%H%M%SZ)"
    done
    tar --extract --file "$file" --directory / --preserve-permissions "${config_folder#/}" "${data_folder#/}"
    # User and group ids differ between machines.
    chown --recursive "root:$account" "$config_folder"
    chown --recursive root:root "$credentials"
    chown --recursive "$account:$account" "$data_folder"
    say "Restored. The previous files were renamed to *.before-*; delete them when everything works."
    # shellcheck disable=SC2086 # a list
    [ -z "$running" ] || start_all $running ||
        die "hivewatch does not work with the restored configuration; see above"
}

main "$@"
