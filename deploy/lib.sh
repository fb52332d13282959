# shellcheck shell=bash
# What install.sh and backup.sh share: where an installed hivewatch lives, and how its services are handled.
# Sourced, never run.
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

# shellcheck disable=SC2034 # used by who sources this
{
    home=/opt/hivewatch
    current=$home/current # a link to the release in force
    config_folder=/etc/hivewatch
    config=$config_folder/hivewatch.yaml
    credentials=$config_folder/credentials
    data_folder=/var/lib/hivewatch
    unit_folder=/etc/systemd/system
    account=hivewatch
    units=(hivewatch.service hivewatch@.service)
}

require_root_and_systemd() {
    [ "$(id -u)" = 0 ] || die "please run it as root: sudo $0"
    [ -d /run/systemd/system ] || die "systemd does not run on this machine; README.md says how to do without"
}

# one_at_a_time: wait for another install.sh or backup.sh to end.
one_at_a_time() {
    exec {lock}>/run/lock/hivewatch-deploy
    flock --nonblock "$lock" || { say "Another install.sh or backup.sh is at work; waiting for it ..." && flock "$lock"; }
}

# running_units: the hivewatch services that run, or try to.
running_units() {
    systemctl list-units --plain --no-legend --state=active,activating,reloading,deactivating \
        hivewatch.service 'hivewatch@*.service' | cut -d' ' -f1
}

# property UNIT NAME: what systemd says of a unit.
property() { systemctl show --property "$2" --value "$1"; }

# works UNIT: it runs and does its work: within a minute the watchdog is beaten once more.
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

# start_all UNIT...: start them (anew); returns 1 when one does not come up, whose last words are told.
start_all() {
    local unit result=0
    for unit in "$@"; do
        if ! { systemctl restart "$unit" && works "$unit"; }; then
            say "$unit does not come up. Its last words:"
            journalctl --unit "$unit" --lines 15 --no-pager --output cat >&2
            result=1
        fi
    done
    return $result
}
