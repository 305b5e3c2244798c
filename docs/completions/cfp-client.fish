# Completions of cfp-client for fish. tests/completions.rs writes this file.

complete -c cfp-client -f
complete -c cfp-client -s p -l password-file -r -F -d 'log in as a registered user, with the password in this file\'s first line'
complete -c cfp-client -s P -l ask-password -d 'log in as a registered user, with a password asked for on the terminal'
complete -c cfp-client -s d -l download -x -a '(__fish_complete_directories)' -d 'the folder that takes received files (default ./cfp-received), made when it is needed'
complete -c cfp-client -l tls -d 'speak TLS with the server, and with no other'
complete -c cfp-client -l ca -r -F -d 'the CA of its certificate (default: those that this system trusts)'
complete -c cfp-client -l tls-name -x -d 'the name in its certificate (default: HOST)'
complete -c cfp-client -l fingerprint -x -d 'take this very certificate and no other'
complete -c cfp-client -l accept -x -d 'take this person\'s files without asking; may be repeated'
complete -c cfp-client -l accept-all -d 'take every sender\'s files without asking'
complete -c cfp-client -l no-files -d 'take no files'
complete -c cfp-client -l max-download -x -d 'most that all files taken may come to (default 1 GiB)'
complete -c cfp-client -s h -l help -d 'print this, exit'
complete -c cfp-client -s V -l version -d 'print the version, exit'
