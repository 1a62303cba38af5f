# SPDX-FileCopyrightText: The qemuctl authors
# SPDX-License-Identifier: Apache-2.0
#
# Completion of qemuctl for fish.

function __qemuctl_words -d 'The commands so far, without options'
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if contains -- $word --socket --tcp --vsock --token-file --pid --vm-socket --timeout --tag --bus-prefix --bus-start
            set skip 1
        else if not string match -q -- '-*' $word
            echo $word
        end
    end
end

function __qemuctl_at -d 'The commands so far match this regular expression'
    set -l words (string join ' ' (__qemuctl_words))
    string match -qr -- "^($argv)\$" "$words"
end

function __qemuctl_service -d 'Where the service is'
    set -l words (commandline -opc)
    for i in (seq 2 (math (count $words) - 1))
        contains -- $words[$i] --socket --tcp --vsock --token-file; and echo $words[$i]; and echo $words[(math $i + 1)]
    end
end

function __qemuctl_vms
    qemuctl (__qemuctl_service) vm list --names 2>/dev/null
end

function __qemuctl_devices
    set -l kinds (__qemuctl_words)[1]
    contains -- $kinds usb pci evdev; or set kinds usb pci evdev
    for kind in $kinds
        qemuctl (__qemuctl_service) $kind list --names 2>/dev/null
    end
end

complete -c qemuctl -f
complete -c qemuctl -l socket -r -F -d 'The Unix socket of the service'
complete -c qemuctl -l tcp -x -d 'HOST:PORT of the service'
complete -c qemuctl -l vsock -x -d 'CID:PORT of the service'
complete -c qemuctl -l token-file -r -F -d 'A file with a token'
complete -c qemuctl -l pid -x -a '(__fish_complete_pids)' -d 'A QEMU without a service'
complete -c qemuctl -l vm-socket -r -F -d 'A QMP socket, without a service'
complete -c qemuctl -l json -d 'Print JSON'
complete -c qemuctl -l help -d Help
complete -c qemuctl -l version -d Version
complete -c qemuctl -n '__qemuctl_at ""' -a 'vm usb pci evdev listen explain vmm-args reload'
complete -c qemuctl -n '__qemuctl_at vm' \
    -a 'list status start shutdown stop pause resume reset screenshot send-key'
complete -c qemuctl -n '__qemuctl_at "usb|pci|evdev"' -a 'list attach detach suspend resume'
complete -c qemuctl -n '__qemuctl_at "\S+ (attach|detach)|explain"' -a '(__qemuctl_devices)'
complete -c qemuctl -n '__qemuctl_at "\S+ attach \S+|(usb|pci|evdev) (suspend|resume)|vmm-args"' -a '(__qemuctl_vms)'
complete -c qemuctl -n '__qemuctl_at "vm (s\S+|pause|re\S+)"' -a '(__qemuctl_vms)'
complete -c qemuctl -n '__qemuctl_at "vm screenshot \S+"' -F
