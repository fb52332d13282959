#!/usr/bin/env bash
# Install hivewatch as a service from this checkout, upgrade an installation, or remove it.
#
#   sudo deploy/install.sh                      install or upgrade; an upgrade that does not work is undone
#   sudo deploy/install.sh --camera KIND        the same without a question: picamera2, video or simulator
#                                               (or HIVEWATCH_CAMERA=KIND); settings that name a camera are kept
#   sudo deploy/install.sh uninstall            remove the program, keep configuration and sightings
#   sudo deploy/install.sh uninstall --purge    remove those as well
#
# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

export DEBIAN_FRONTEND=noninteractive
# Do not fill the card with pip's cache: an upgrade reuses the installed packages instead.
export PIP_NO_CACHE_DIR=${PIP_NO_CACHE_DIR-1} PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
unset PYTHONPATH PYTHONHOME

# Debian's own, since apt's picamera2 and libcamera work with no other. Every call of a Python has -I: without it,
# root would import modules from the folder that this is started in, such as /tmp/pip.py.
base_python=/usr/bin/python3
old='' new=''                # folders of the releases before and after; the same one if nothing has changed
working=() failing=()        # services that were running before: those that worked, those that did not

camera=${HIVEWATCH_CAMERA-} # the camera to write into settings that name none
device=''                    # the USB camera that was found

main() {
    if [ "${1-}" = --camera ]; then
        camera=${2:-nothing}
        shift 2
    fi
    [[ "$camera" =~ ^(|picamera2|video|simulator)$ ]] ||
        die "--camera is picamera2, video or simulator, not $camera; set anything else in $config"
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
    require_supported_machine
    one_at_a_time
    remove_leftovers
    old=$(active_release)
    if [ -n "$old" ] && [ "$(cat "$old/source.sha256")" = "$(fingerprint)" ] && runs "$old"; then
        say "This version is already installed."
        new=$old
        ask_for_camera
    else
        require_space_and_network
        install_packages
        ask_for_camera
        new=$home/releases/$(date --utc +%Y%m%dT%H%M%SZ)
        trap 'rm -rf "$new"' EXIT # if anything fails here, the old release stays unchanged
        build
    fi
    make_account
    make_folders_and_config
    check_configs
    trap - EXIT
    activate
    start_services
    remove_leftovers
    run_doctor
}

require_supported_machine() {
    case "$(uname -m)" in
        aarch64 | x86_64) ;;
        *) die "this machine's architecture is $(uname -m), but PyTorch needs 64-bit ARM or x86-64." \
            "On a Raspberry Pi 3 or later, install the 64-bit Raspberry Pi OS." ;;
    esac
    # A 32-bit Raspberry Pi OS may run on a 64-bit kernel.
    [ "$(getconf LONG_BIT)" = 64 ] || die "this system is 32-bit, but PyTorch needs 64-bit." \
        "On a Raspberry Pi 3 or later, install the 64-bit Raspberry Pi OS."
    command -v apt-get >/dev/null || die "this is neither Debian nor Raspberry Pi OS: there is no apt-get"
    need_packages python3
    $base_python -I -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' ||
        die "hivewatch needs Python 3.11, 3.12 or 3.13, but this system has $($base_python --version)." \
            "Use Debian 12 or 13, or a Raspberry Pi OS based on them."
}

# active_release: print the folder of the active release, nothing if there is none.
active_release() { readlink --canonicalize-existing "$current" || true; }

# runs RELEASE: succeed if hivewatch starts; it does not after the system's Python has been replaced.
runs() { "$1/bin/python" -I -m hivewatch --version >/dev/null 2>&1; }

# fingerprint: print a checksum of everything in this checkout that gets installed.
fingerprint() {
    (cd "$project" && find hivewatch config/hivewatch.yaml deploy setup.cfg pyproject.toml -type f ! -name '*.pyc' \
        ! -name '*.md' -print0 | sort --zero-terminated | xargs --null sha256sum | sha256sum)
}

# require_space_and_network: report what the installation needs, before it downloads or changes anything.
require_space_and_network() {
    local download_mb=250 space_mb=1800 free_mb folder=$home index=${PIP_INDEX_URL:-https://pypi.org/simple}
    python=$base_python
    if has_torch "$old/bin/python"; then
        download_mb=20 space_mb=300 # the rest is reused
    elif has_torch "$base_python"; then
        download_mb=100 space_mb=500
    elif [ "$(uname -m)" = x86_64 ] && ! wants_cpu_wheels; then
        download_mb=2600 space_mb=9000 # PyPI's PyTorch includes the libraries for graphics cards
    fi
    while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
    free_mb=$(df --output=avail --block-size=1M "$folder" | tail -n1 | tr -d ' ')
    say "hivewatch will be installed in $home. This downloads up to $download_mb MB and needs $space_mb MB of disk" \
        "space; $free_mb MB are free."
    [ "$free_mb" -ge "$space_mb" ] || die "there is not enough disk space in $folder: $free_mb MB are free," \
        "$space_mb MB are needed. Free some space, for example with \`sudo apt clean\`, or use a larger card."
    answers "${index%/}/pip/" || die "there is no network: $index, the source of the Python packages," \
        "does not answer. Connect this machine to the internet and try again."
}

# has_torch PYTHON: succeed if a suitable PyTorch is already installed.
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
    # Raspberry Pi OS has picamera2. Plain Debian has neither that nor drivers for a Raspberry Pi's camera.
    if [ -n "$(apt-cache search --names-only '^python3-picamera2$')" ]; then
        need_packages python3-picamera2
    else
        say "picamera2 is not available on this system: only USB cameras and network streams can be used."
    fi
}

# build: create the new release, from a copy of the old one if that still runs.
build() {
    say "Installing into $new (a few minutes on a Raspberry Pi) ..."
    mkdir -p "$home/releases"
    chmod 0755 "$home" "$home/releases"
    if [ -n "$old" ] && runs "$old" && "$old/bin/python" -I -m pip --version >/dev/null 2>&1; then
        cp --archive --link "$old" "$new" # hard links are safe: pip replaces files and never modifies them
    else
        $base_python -I -m venv --system-site-packages "$new" || die "Python's venv failed; see its messages above"
    fi
    mkdir -p "$new/tmp"
    fill || die "pip failed; see its messages above. Nothing was changed; try again."
    rm -rf "$new/tmp" "$new/source.sha256"
    cp --remove-destination "$project/config/hivewatch.yaml" "$new/hivewatch.yaml"
    fingerprint >"$new/source.sha256"
}

# fill: install what deploy/requirements pins, by version and hash, and then hivewatch with nothing but that.
fill() {
    local pip=("$new/bin/python" -I -m pip install --quiet)
    python=$new/bin/python
    local -x TMPDIR=$new/tmp # Debian 13 keeps /tmp in memory, which may be too small for pip
    "${pip[@]}" --require-hashes --only-binary :all: --requirement "$project/deploy/requirements/$(numpy).txt" &&
        { [ "$(uname -m)" = aarch64 ] || install_torch; } || return
    # Build from a copy, or root-owned files would be left in the checkout.
    mkdir "$new/tmp/source" &&
        cp --recursive "$project"/{hivewatch,config,setup.cfg,pyproject.toml,README.md,LICENSE} "$new/tmp/source" &&
        "${pip[@]}" --no-index --no-build-isolation "$new/tmp/source[setup]" &&
        "$python" -I -m hivewatch --version >&2
}

# install_torch: on x86-64 PyTorch is not pinned: its builds without CUDA have an index of their own.
install_torch() {
    local index=()
    if wants_cpu_wheels; then index=(--index-url "$torch_cpu_index"); fi
    "$python" -I -m pip install --quiet "${index[@]}" 'torch>=2.7'
}

# numpy: print which requirements keep NumPy at apt's major version, for which apt's picamera2 is compiled.
numpy() {
    $base_python -I -c 'import numpy; print("numpy" + numpy.__version__.split(".")[0])' 2>/dev/null || echo numpy2
}

make_account() {
    getent passwd "$account" >/dev/null ||
        useradd --system --user-group --home-dir "$data_folder" --no-create-home --shell /usr/sbin/nologin "$account"
}

# make_folders_and_config: an existing configuration is kept, but for a camera that it does not name yet; new options
# are shown.
make_folders_and_config() {
    install --directory --owner root --group "$account" --mode 0750 "$config_folder"
    install --directory --owner root --group root --mode 0700 "$credentials"
    if [ ! -e "$config" ]; then
        install --owner root --group "$account" --mode 0640 "$new/hivewatch.yaml" "$config"
    elif [ -z "$old" ]; then
        say "$config is kept. Its differences from this version's default:"
        diff --unified=0 --label "$config" --label "this version" "$config" "$new/hivewatch.yaml" >&2 || true
    elif ! cmp --quiet "$old/hivewatch.yaml" "$new/hivewatch.yaml"; then
        say "$config is kept. Changes to the options and their descriptions in this version:"
        diff --unified=2 --label "previous version" --label "this version" {"$old","$new"}/hivewatch.yaml >&2 || true
    fi
    set_camera
}

# names_camera: succeed if the settings set camera.kind; no other option is called kind.
names_camera() { [ -e "$config" ] && grep --quiet '^[^#]*\<kind:' "$config"; }

# ask_for_camera: set $camera, unless the settings or the command line name one already.
ask_for_camera() {
    local found answer=''
    if names_camera; then
        camera=''
        return
    fi
    device=$(usb_camera)
    [ -z "$camera" ] || return 0
    found=$(found_camera)
    if [ ! -t 0 ]; then
        say "No camera is set, and there is no terminal to ask on. ${found:+Found: $found.}"
        return
    fi
    say "Which camera watches the hive?" \
        "  picamera2   the Raspberry Pi's own camera" \
        "  video       a USB camera${device:+ ($device)}, or a network camera (then set camera.video.source)" \
        "  simulator   none yet: a drawn hive, to try things out; its alerts are marked as a test"
    while [[ ! "$answer" =~ ^(picamera2|video|simulator)$ ]]; do
        read -r -p "Camera${found:+ [$found]}: " answer || return 0
        answer=${answer:-$found}
    done
    camera=$answer
}

# found_camera: print the kind of a camera that is connected, nothing if there is none.
found_camera() {
    if $base_python -I -c 'from picamera2 import Picamera2
exit(not any("usb" not in camera["Id"] for camera in Picamera2.global_camera_info()))' >/dev/null 2>&1; then
        echo picamera2
    elif [ -n "$device" ]; then
        echo video
    fi
}

# usb_camera: print the first device of a USB camera; a Raspberry Pi has many other /dev/video*.
usb_camera() {
    local entry
    for entry in "${sysfs-/sys}"/class/video4linux/video*; do
        if [ "$(basename "$(readlink "$entry/device/driver")")" = uvcvideo ] && [ "$(cat "$entry/index")" = 0 ]; then
            echo "/dev/${entry##*/}"
            return
        fi
    done
}

# set_camera: write $camera into settings that name none.
set_camera() {
    [ -n "$camera" ] || return 0
    if grep --quiet '^  # kind: video$' "$config"; then
        sed -i "s/^  # kind: video$/  kind: $camera/" "$config"
    elif ! grep --quiet '^camera:' "$config"; then
        printf '\ncamera:\n  kind: %s\n' "$camera" >>"$config"
    else
        say "Please write this below camera: in $config:   kind: $camera"
        return
    fi
    [ "$camera" != video ] || [ -z "$device" ] ||
        sed -i "s#^    source: /dev/video0\$#    source: $device#" "$config"
    say "Camera: $camera (camera.kind in $config)."
}

# check_configs: refuse a version that rejects a configuration, before anything is stopped. A first installation may
# lack its camera: it is not started then.
check_configs() {
    local file
    for file in "$config_folder"/*.yaml; do
        [ -n "$old" ] || [ "$file" != "$config" ] || names_camera || continue
        "$new/bin/python" -I -m hivewatch check --config "$file" >&2 ||
            die "$file is not valid for this version; see above. Nothing else was changed; correct it and try again."
    done
}

# activate: from now on, every start uses the new release.
activate() {
    local unit
    mkdir -p "$new/units"
    for unit in "${units[@]}"; do
        install --mode 0644 "$project/deploy/$unit" "$new/units/$unit.new"
        # systemd supports RestartSteps= since version 254, and warns about unknown settings.
        [ "$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')" -ge 254 ] ||
            sed -i '/^Restart\(Steps\|MaxDelaySec\)=/d' "$new/units/$unit.new"
        mv "$new/units/$unit.new" "$new/units/$unit"
    done
    install --mode 0755 "$project/deploy/hivewatch" /usr/local/bin/hivewatch
    record_health
    use "$new"
}

# use RELEASE: switch to its program and units.
use() {
    ln --symbolic --force --no-dereference "$1" "$current.new"
    mv --no-target-directory "$current.new" "$current"
    install --mode 0644 "$1"/units/* "$unit_folder"
    systemctl daemon-reload
}

# record_health: a service that does not work now cannot show whether the new version works.
record_health() {
    local unit
    for unit in $(running_units); do
        if works "$unit"; then working+=("$unit"); else failing+=("$unit"); fi
    done
}

start_services() {
    if [ -z "$old" ]; then
        systemctl --quiet enable hivewatch.service
        names_camera || return 0
        start_all hivewatch.service || failing=(hivewatch.service)
    elif [ "$new" != "$old" ]; then
        start_all "${working[@]}" || undo
        [ ${#failing[@]} -eq 0 ] || systemctl restart --no-block "${failing[@]}"
    fi
}

# undo: go back to the previous release.
undo() {
    say "Going back to the previous version ..."
    systemctl stop "${working[@]}"
    use "$old"
    rm -rf "$new"
    start_all "${working[@]}" || die "the previous version no longer starts either; see above"
    die "the new version did not start; the previous version is running again, and nothing is lost"
}

# remove_leftovers: delete inactive releases, such as those of an interrupted installation.
remove_leftovers() {
    local release
    for release in "$home"/releases/*; do
        [ ! -d "$release" ] || [ "$release" = "$(active_release)" ] || rm -rf "$release"
    done
}

run_doctor() {
    names_camera || die "hivewatch is installed but not started, because it does not know its camera. Set camera.kind" \
        "in $config to picamera2, video or simulator (or run: sudo $0 --camera KIND), then:" \
        "sudo systemctl restart hivewatch && sudo hivewatch doctor"
    say "Checking the installation with hivewatch doctor:"
    hivewatch doctor --config "$config" >&2 ||
        say "The doctor found problems. Fix them, then check again: sudo hivewatch doctor"
    [ ${#failing[@]} -eq 0 ] || die "hivewatch is installed, but ${failing[*]} does not work; see above" \
        "and in: journalctl -u ${failing[0]}. After fixing it: sudo systemctl restart ${failing[*]}"
    say "Done. Settings: $config (apply changes with: sudo hivewatch check && sudo systemctl restart hivewatch)." \
        "Log: journalctl -u hivewatch"
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
    say "hivewatch is removed. Kept: $config_folder, $data_folder, changes made with systemctl edit, the account" \
        "$account, and packages from apt, which other programs may need."
}

purge() {
    rm -rf "$config_folder" "$data_folder" "$unit_folder"/hivewatch{,@*}.service.d
    systemctl daemon-reload
    ! getent passwd "$account" >/dev/null || userdel "$account"
    say "Also removed: $config_folder, $data_folder, the changes made with systemctl edit, and the account $account."
}

[ "${BASH_SOURCE[0]}" != "$0" ] || main "$@"
