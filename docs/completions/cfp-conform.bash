# Completions of cfp-conform for bash. tests/completions.rs writes this file.

_cfp_conform() {
    local current=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    # --option=value are three words.
    if [[ $current == = ]]; then
        current=
    elif [[ $option == = ]]; then
        option=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $option in
        --ca | --junit)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
        --download)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -d -- "$current")
            return
            ;;
        -i | --id | --user | --password | --second | --second-id | --port | --fingerprint | -l | --listen | --run | --run-user | --say | --tell | --send | --leave | -s | --section | -c | --case | --patience)
            return
            ;;
    esac
    local options='
        --id --user --password --second --second-id --port
        --tls --ca --fingerprint --routed --slow --client
        --listen --run --run-user --say --tell --send
        --leave --download --section --case --patience --strict
        --json --junit --list --help --version
    '
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
}

complete -F _cfp_conform cfp-conform
