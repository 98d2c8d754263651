    local words=() at part _CLAP_BEFORE= is_value=false
    for ((at = 0; at < ${#COMP_WORDS[@]}; at++)); do
        part="${COMP_WORDS[at]}"
        if [[ $at == "$COMP_CWORD" && $part != = ]]; then
            part="$2"
        fi
        if [[ $part == = && $at -gt 0 && "${COMP_WORDS[at-1]}" == --* ]]; then
            words[${#words[@]}-1]+="="
            is_value=true
        elif [[ $is_value == true ]]; then
            words[${#words[@]}-1]+="$part"
            is_value=false
        else
            words+=("$part")
        fi
        if [[ $at == "$COMP_CWORD" ]]; then
            _CLAP_COMPLETE_INDEX=$((${#words[@]} - 1))
            if [[ ($part == = || "${COMP_WORDS[at-1]}" == =) && "${words[_CLAP_COMPLETE_INDEX]}" == --*=* ]]; then
                _CLAP_BEFORE="${words[_CLAP_COMPLETE_INDEX]%%=*}="
            fi
        fi
    done
