# Bash completion of sipw, sipw-relay, sipw-router, sipwitch, sipcontrol, sipwitchctl, siprealm, sippasswd and sipquery.
#
# What a program takes is read from its --help, which is made from the same tables as its parsing:
# a new command or option is completed without a word here.

# Rows like "  -t, --timeout SECONDS    ...": each option, by either name, and what it takes, if
# anything.
_sipwitch_options() {
    sed -n 's/^ \{2,\}\(-[A-Za-z]\), \(--[a-z0-9-]*\)\( \([A-Z]*\)\)\?.*/\1 \4\n\2 \4/p
            s/^ \{2,\}\(--[a-z0-9-]*\)\( \([A-Z]*\)\)\?.*/\1 \3/p' <<<"$1"
}

# Rows like "  trace [on|off]    ...": each command, and what it takes.
_sipwitch_commands() {
    sed -n 's/^  \([a-z][a-z0-9-]*\) \(.*\)/\1 \2/p' <<<"$1" | sed 's/   *.*//'
}

# Of the server that the words of the line name; nothing where it does not say.
_sipwitch_users() {
    local -a where=()
    local i

    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} = --@(socket|prefixpath) ]] &&
            where=("${COMP_WORDS[i]}" "${COMP_WORDS[i + 1]}")
    done
    "$1" -t 1 --json "${where[@]}" user list 2>/dev/null |
        sed -n 's/.*"user":"\([^"\\]*\)".*/\1/p'
}

_sipwitch() {
    local program=$1 word=$2 before=$3 help options takes choices='' command='' operands='' given=0 i

    help=$("$program" --help 2>/dev/null) || return 0
    options=$(_sipwitch_options "$help")
    takes=$(sed -n "s/^${before//[^A-Za-z0-9-]/} //p" <<<"$options")
    COMPREPLY=()
    case $takes in
        FILE | PATH) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        DIR) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
    esac
    [ -z "$takes" ] || return 0
    if [[ $word = -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(cut -d ' ' -f 1 <<<"$options")" -- "$word")
        return 0
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do # the command, and how many words follow it
        if [[ ${COMP_WORDS[i]} = -* ]]; then
            [[ $options =~ (^|$'\n')"${COMP_WORDS[i]} "[A-Z] ]] && i=$((i + 1))
        elif [ -z "$command" ]; then
            command=${COMP_WORDS[i]}
        else
            given=$((given + 1))
        fi
    done
    if [ -z "$command" ]; then
        choices=$(_sipwitch_commands "$help" | cut -d ' ' -f 1)
    elif [ "$given" -eq 0 ]; then
        operands=$(_sipwitch_commands "$help" | sed -n "s/^${command//[^a-z0-9-]/} //p")
        operands=${operands%% *}
        case $operands in
            *USER*) choices=$(_sipwitch_users "$program") ;;
            *\|*) choices=${operands//[^a-z]/ } ;;
        esac
    elif [ "$given" -eq 1 ] && [ "$command ${COMP_WORDS[COMP_CWORD - 1]}" = "user remove" ]; then
        choices=$(_sipwitch_users "$program")
    fi
    mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
}

complete -F _sipwitch sipw sipw-relay sipw-router sipwitch sipcontrol sipwitchctl siprealm sippasswd sipquery
