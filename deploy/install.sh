#!/usr/bin/env bash
# Install hivewatch as a service from this checkout, bring an installed one up to date, or remove it.
#
#   sudo deploy/install.sh                      install or upgrade; an upgrade that does not come up is undone
#   sudo deploy/install.sh uninstall            remove the programme, keep configuration and sightings
#   sudo deploy/install.sh uninstall --purge    remove those too
#
# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

export DEBIAN_FRONTEND=noninteractive
# An upgrade takes over what is installed, so pip need not keep on the card what it has fetched.
export PIP_NO_CACHE_DIR=${PIP_NO_CACHE_DIR-1} PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
unset PYTHONPATH PYTHONHOME

base_python=/usr/bin/python3 # Debian's own: picamera2 and libcamera from apt are made for no other
old='' new=''                # the releases (folders) before and after; the same one when nothing has changed
healthy=() ailing=()         # services that ran before: those that worked, those that did not

main() {
    case "${1-install} ${2-}" in
        "install ") install_or_upgrade ;;
        "uninstall ") uninstall ;;
        "uninstall --purge")
            uninstall
            purge
            ;;
        *)
            sed -n '2,/^# shellcheck/s/^# \{0,1\}//p' "$0" | head -n -1
            exit 2
            ;;
    esac
}

install_or_upgrade() {
    require_root_and_systemd
    require_fitting_machine
    one_at_a_time
    remove_leftovers
    old=$(in_force)
    if [ -n "$old" ] && [ "$(cat "$old/source.sha256")" = "$(fingerprint)" ] && runs "$old"; then
        say "This version is installed already."
        new=$old
    else
        require_room_and_network
        install_packages
        new=$home/releases/$(date --utc +%Y%m%dT%H%M%SZ)
        trap 'rm -rf "$new"' EXIT # whatever stops here leaves the old one as it was
        build
    fi
    make_account
    make_folders_and_config
    check_configs
    trap - EXIT
    put_in_force
    start_services
    remove_leftovers
    consult_doctor
}

require_fitting_machine() {
    case "$(uname -m)" in
        aarch64 | x86_64) ;;
        *) die "this machine is of kind $(uname -m), and PyTorch needs 64-bit ARM or x86-64." \
            "On a Raspberry Pi 3 or later: install the 64-bit Raspberry Pi OS anew." ;;
    esac
    # A 64-bit kernel runs a 32-bit Raspberry Pi OS as well.
    [ "$(getconf LONG_BIT)" = 64 ] || die "this system has 32 bits, and PyTorch needs 64." \
        "On a Raspberry Pi 3 or later: install the 64-bit Raspberry Pi OS anew."
    command -v apt-get >/dev/null || die "this is no Debian and no Raspberry Pi OS: there is no apt-get"
    need_packages python3
    $base_python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' ||
        die "hivewatch runs on Python 3.11, 3.12 and 3.13, and this system has $($base_python --version)." \
            "Debian 12, Debian 13 and the Raspberry Pi OS made of them fit."
}

# in_force: the release that is installed; nothing where none is.
in_force() { readlink --canonicalize-existing "$current" || true; }

# runs RELEASE: its Python is still the one it was made for, and hivewatch starts.
runs() { "$1/bin/python" -I -m hivewatch --version >/dev/null 2>&1; }

# fingerprint: of all in this checkout that gets installed.
fingerprint() {
    (cd "$project" && find hivewatch config/hivewatch.yaml deploy setup.cfg pyproject.toml -type f ! -name '*.pyc' \
        ! -name '*.md' -print0 | sort --zero-terminated | xargs --null sha256sum | sha256sum)
}

# require_room_and_network: tell what is needed before any of it is taken.
require_room_and_network() {
    local download_mb=250 room_mb=1800 free_mb folder=$home index=${PIP_INDEX_URL:-https://pypi.org/simple}
    python=$base_python
    if has_torch "$old/bin/python"; then
        download_mb=20 room_mb=300 # the rest is taken over
    elif has_torch "$base_python"; then
        download_mb=100 room_mb=500
    elif [ "$(uname -m)" = x86_64 ] && ! wants_cpu_wheels; then
        download_mb=2600 room_mb=9000 # PyPI's PyTorch brings along what graphics cards need
    fi
    while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
    free_mb=$(df --output=avail --block-size=1M "$folder" | tail -n1 | tr -d ' ')
    say "hivewatch goes to $home: up to $download_mb MB are downloaded and $room_mb MB of room are needed meanwhile;" \
        "$free_mb MB are free."
    [ "$free_mb" -ge "$room_mb" ] || die "there is too little room in $folder: $free_mb MB are free, $room_mb MB are" \
        "needed. Make room, by \`sudo apt clean\` say, or use a larger card."
    answers "${index%/}/pip/" || die "there is no network: $index, where Python packages come from," \
        "does not answer. Connect this machine to the Internet and try again."
}

# has_torch PYTHON: a PyTorch that fits is there already.
has_torch() {
    "$1" -I -c 'import importlib.metadata as m; v = m.version("torch").split(".")
exit((int(v[0]), int(v[1])) < (2, 7))' 2>/dev/null
}

answers() {
    timeout 40 $base_python -I -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout=30).close()' \
        "$1" 2>/dev/null
}

install_packages() {
    need_packages python3-venv python3-systemd procps
    # Raspberry Pi OS has it. Plain Debian has not, nor what drives a Raspberry Pi's camera.
    if [ -n "$(apt-cache search --names-only '^python3-picamera2$')" ]; then
        need_packages python3-picamera2
    else
        say "This system offers no picamera2: USB cameras and network streams only."
    fi
}

# build: make the new release, of what the old one has where that still runs.
build() {
    say "Installing into $new (some minutes on a Raspberry Pi) ..."
    mkdir -p "$home/releases"
    chmod 0755 "$home" "$home/releases"
    if [ -n "$old" ] && runs "$old" && "$old/bin/python" -m pip --version >/dev/null 2>&1; then
        cp --archive --link "$old" "$new" # links do, for pip replaces files and changes none
    else
        $base_python -m venv --system-site-packages "$new" || die "Python's venv failed; its reasons stand above"
    fi
    mkdir -p "$new/tmp"
    fill || die "pip could not install everything; its reasons stand above. Nothing has been changed; try again."
    rm -rf "$new/tmp" "$new/source.sha256"
    cp --remove-destination "$project/config/hivewatch.yaml" "$new/hivewatch.yaml"
    fingerprint >"$new/source.sha256"
}

fill() {
    local pip=("$new/bin/python" -m pip install --quiet --constraint "$new/tmp/limits.txt")
    python=$new/bin/python
    local -x TMPDIR=$new/tmp # Debian 13 keeps /tmp in memory, and what pip unpacks may not fit
    numpy_limit >"$new/tmp/limits.txt"
    if wants_cpu_wheels; then
        "${pip[@]}" --index-url "$torch_cpu_index" 'torch>=2.7' || return
    fi
    # Of a copy, for building leaves files behind, which would be root's.
    mkdir "$new/tmp/source" &&
        cp --recursive "$project"/{hivewatch,setup.cfg,pyproject.toml,README.md,LICENSE} "$new/tmp/source" &&
        "${pip[@]}" "$new/tmp/source" &&
        "$python" -I -m hivewatch --version >&2
}

# numpy_limit: picamera2's parts from apt are compiled for apt's NumPy and work with no other major version.
numpy_limit() {
    $base_python -I -c 'import numpy; print("numpy==" + numpy.__version__.split(".")[0] + ".*")' 2>/dev/null || true
}

make_account() {
    getent passwd "$account" >/dev/null ||
        useradd --system --user-group --home-dir "$data_folder" --no-create-home --shell /usr/sbin/nologin "$account"
}

# make_folders_and_config: a configuration that is there is never touched; what is new is shown.
make_folders_and_config() {
    install --directory --owner root --group "$account" --mode 0750 "$config_folder"
    install --directory --owner root --group root --mode 0700 "$credentials"
    if [ ! -e "$config" ]; then
        install --owner root --group "$account" --mode 0640 "$new/hivewatch.yaml" "$config"
        choose_camera
    elif [ -z "$old" ]; then
        say "$config stays as it is. How it differs from this version's:"
        diff --unified=0 --label "$config" --label "this version" "$config" "$new/hivewatch.yaml" >&2 || true
    elif ! cmp --quiet "$old/hivewatch.yaml" "$new/hivewatch.yaml"; then
        say "$config stays as it is. What has changed among the options and their explanations:"
        diff --unified=2 --label "version before" --label "this version" {"$old","$new"}/hivewatch.yaml >&2 || true
    fi
}

choose_camera() {
    local kind
    if $base_python -I -c 'import picamera2' 2>/dev/null; then
        kind=picamera2
    elif [ -e /dev/video0 ]; then
        kind=video
    else
        say "No camera is to be seen here. Until camera.kind in $config names one," \
            "hivewatch watches a drawn hive with drawn hornets."
        return
    fi
    sed -i "s/^  kind: simulator$/  kind: $kind/" "$config"
    say "Camera: $kind (camera.kind in $config)."
}

# check_configs: refuse a version that the configurations do not fit, before anything is stopped.
check_configs() {
    local file
    for file in "$config_folder"/*.yaml; do
        "$new/bin/python" -I -m hivewatch check --config "$file" >&2 ||
            die "$file does not fit this version, see above. Nothing else has been changed; correct it and try again."
    done
}

# put_in_force: from now on every start is one of the new release.
put_in_force() {
    local unit
    mkdir -p "$new/units"
    for unit in "${units[@]}"; do
        install --mode 0644 "$project/deploy/$unit" "$new/units/$unit.new"
        # systemd knows steps of restarts since 254, and complains about what it does not know.
        [ "$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')" -ge 254 ] ||
            sed -i '/^Restart\(Steps\|MaxDelaySec\)=/d' "$new/units/$unit.new"
        mv "$new/units/$unit.new" "$new/units/$unit"
    done
    install --mode 0755 "$project/deploy/hivewatch" /usr/local/bin/hivewatch
    note_health
    use "$new"
}

# use RELEASE: its programme and its units.
use() {
    ln --symbolic --force --no-dereference "$1" "$current.new"
    mv --no-target-directory "$current.new" "$current"
    install --mode 0644 "$1"/units/* "$unit_folder"
    systemctl daemon-reload
}

# note_health: what does not work now cannot tell whether the new version does.
note_health() {
    local unit
    for unit in $(running_units); do
        if works "$unit"; then healthy+=("$unit"); else ailing+=("$unit"); fi
    done
}

start_services() {
    if [ -z "$old" ]; then
        systemctl --quiet enable hivewatch.service
        start_all hivewatch.service || ailing=(hivewatch.service)
    elif [ "$new" != "$old" ]; then
        start_all "${healthy[@]}" || undo
        [ ${#ailing[@]} -eq 0 ] || systemctl restart --no-block "${ailing[@]}"
    fi
}

# undo: back to the release that ran.
undo() {
    say "Going back to the version before ..."
    systemctl stop "${healthy[@]}"
    use "$old"
    rm -rf "$new"
    start_all "${healthy[@]}" || die "the version before does not come up any more either; see above"
    die "the new version did not come up; the version before runs again, and nothing is lost"
}

# remove_leftovers: releases that are not in force, from an installation that was broken off, say.
remove_leftovers() {
    local release
    for release in "$home"/releases/*; do
        [ ! -d "$release" ] || [ "$release" = "$(in_force)" ] || rm -rf "$release"
    done
}

consult_doctor() {
    say "Now the doctor looks at it:"
    hivewatch doctor --config "$config" >&2 ||
        say "The doctor has found something: put it right, then ask again: sudo hivewatch doctor"
    [ ${#ailing[@]} -eq 0 ] || die "hivewatch is installed, but ${ailing[*]} does not work: see above," \
        "and: journalctl -u ${ailing[0]}. Once it is put right: sudo systemctl restart ${ailing[*]}"
    say "Done. Settings: $config (then: sudo systemctl reload-or-restart hivewatch). Log: journalctl -u hivewatch"
}

uninstall() {
    require_root_and_systemd
    one_at_a_time
    local unit
    for unit in $(systemctl list-units --all --plain --no-legend hivewatch.service 'hivewatch@*.service' | cut -d' ' -f1); do
        systemctl --quiet disable --now "$unit" || say "$unit could not be stopped"
        systemctl reset-failed "$unit" 2>/dev/null || true
    done
    rm -rf "$home" /usr/local/bin/hivewatch
    rm -f "${units[@]/#/$unit_folder/}"
    systemctl daemon-reload
    say "hivewatch is removed. Kept: $config_folder, $data_folder, changes made by systemctl edit, the account" \
        "$account, and packages from apt, which others may need by now."
}

purge() {
    rm -rf "$config_folder" "$data_folder" "$unit_folder"/hivewatch{,@*}.service.d
    systemctl daemon-reload
    ! getent passwd "$account" >/dev/null || userdel "$account"
    say "Removed as well: $config_folder, $data_folder, the changes made by systemctl edit, and the account $account."
}

main "$@"
