# Completions of cfp-server for bash. tests/completions.rs writes this file.

_cfp_server() {
    local current=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    # --option=value are three words.
    if [[ $current == = ]]; then
        current=
    elif [[ $option == = ]]; then
        option=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $option in
        --tls-cert | --tls-key | --peer-ca | -u | --users | -c | --control)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
        --ask)
            mapfile -t COMPREPLY < <(compgen -W 'status clients siblings routes merge forget kick ban unban bans reload metrics shutdown help' -- "$current")
            return
            ;;
        -i | --id | -l | --listen | -a | --advertise | -m | --merge | -p | --allow-peer | --proxy-from | --metrics | --max-clients | --max-message | --max-queue | --max-link-queue | --max-per-address | --max-rate | --max-memory | --handshake-timeout | --hash-password | --add-user | --remove-user)
            return
            ;;
    esac
    local options='
        --id --listen --advertise --merge --routed --allow-peer
        --tls-cert --tls-key --require-tls --peer-ca --proxy-from --users
        --no-guests --control --no-control --metrics --max-clients --max-message
        --max-queue --max-link-queue --max-per-address --max-rate --max-memory --handshake-timeout
        --hash-password --add-user --remove-user --ask --check --help
        --version
    '
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
}

complete -F _cfp_server cfp-server
