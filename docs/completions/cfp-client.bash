# Completions of cfp-client for bash. tests/completions.rs writes this file.

_cfp_client() {
    local current=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    # --option=value are three words.
    if [[ $current == = ]]; then
        current=
    elif [[ $option == = ]]; then
        option=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $option in
        -p | --password-file | --ca | --log)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
        -d | --download)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -d -- "$current")
            return
            ;;
        --tls-name | --fingerprint | --accept | --max-download)
            return
            ;;
    esac
    local options='
        --password-file --ask-password --download --tls --ca --tls-name
        --fingerprint --accept --accept-all --no-files --max-download --seconds
        --no-bell --notify --log --no-history --json --reconnect
        --help --version
    '
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
}

complete -F _cfp_client cfp-client
