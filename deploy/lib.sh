# shellcheck shell=bash
# Shared by install.sh and backup.sh: the paths of an installation, and functions for its services.
# Source this file, do not run it.
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

# shellcheck disable=SC2034 # used by the scripts that source this
{
    home=/opt/hivewatch
    current=$home/current # a link to the active release
    config_folder=/etc/hivewatch
    config=$config_folder/hivewatch.yaml
    credentials=$config_folder/credentials
    data_folder=/var/lib/hivewatch
    unit_folder=/etc/systemd/system
    account=hivewatch
    units=(hivewatch.service hivewatch@.service)
}

require_root_and_systemd() {
    [ "$(id -u)" = 0 ] || die "please run this as root: sudo $0"
    [ -d /run/systemd/system ] || die "systemd is not running on this machine;" \
        "README.md says how to run hivewatch without it"
}

# one_at_a_time: wait for another install.sh or backup.sh to end.
one_at_a_time() {
    exec {lock}>/run/hivewatch-deploy.lock # not in /run/lock, where any user could put a link of that name
    flock --nonblock "$lock" || { say "Waiting for another install.sh or backup.sh to finish ..." && flock "$lock"; }
}

# running_units: print the hivewatch services that are running or starting.
running_units() {
    systemctl list-units --plain --no-legend --state=active,activating,reloading,deactivating \
        hivewatch.service 'hivewatch@*.service' | cut -d' ' -f1
}

# property UNIT NAME: print a property of a unit.
property() { systemctl show --property "$2" --value "$1"; }

# works UNIT: succeed if the unit is running and feeds its watchdog within a minute, that is, finishes frames.
works() {
    local before process
    before=$(property "$1" WatchdogTimestampMonotonic) process=$(property "$1" MainPID)
    for _ in {1..60}; do
        sleep 1
        [ "$(property "$1" ActiveState) $(property "$1" MainPID)" = "active $process" ] || return 1
        [ "$(property "$1" WatchdogTimestampMonotonic)" = "$before" ] || return 0
    done
    return 1
}

# start_all UNIT...: (re)start the units; if one does not work, show its last log lines and return 1.
start_all() {
    local unit result=0
    for unit in "$@"; do
        if ! { systemctl restart "$unit" && works "$unit"; }; then
            say "$unit does not work. Its last log lines:"
            journalctl --unit "$unit" --lines 15 --no-pager --output cat >&2
            result=1
        fi
    done
    return $result
}
