# qi-learn hook for bash 5: how tests, builds, deployments and benchmarks ended, for the projects
# registered with `qi-learn init`.
#
# Load it at the end of ~/.bashrc:   . /path/to/qi-learn.bash
#
# After a command that looks like one of those, alone on its line, one line of JSON is appended to
# this shell's own file in the spool. Nothing else is recorded, no process is started, the exit
# status stays what it was, and if anything is missing nothing happens. A line that begins with a
# space is not recorded. With bash-preexec its hooks are used. If another DEBUG trap is set, this
# file does nothing.

[[ $- == *i* && ${BASH_VERSINFO[0]} -ge 5 && -z ${_qi_learn_loaded-} ]] || return 0
_qi_learn_loaded=1 _qi_learn_file= _qi_learn_size=0 _qi_learn_count=0 _qi_learn_begin=0
_qi_learn_line= _qi_learn_number=0 _qi_learn_job= _qi_learn_last_line= _qi_learn_last_number=0

# --- from qi_learn/capture/command_kind.py, by scripts/hook_patterns ---
typeset -g _qi_learn_wrapper='^(env|time|nice|nohup|sudo|xvfb-run|exec|run|npx|bunx|uvx|uv|pipx|'\
'poetry|pdm|hatch|pipenv|rye|bundle|coverage)[[:space:]]+(.*)$'
typeset -g _qi_learn_python='^(python|'\
'pypy)[0-9.]*w?(\.exe)?([[:space:]]+-[^[:space:]]+)*[[:space:]]+-m[[:space:]]+(.*)$'
typeset -ga _qi_learn_kinds=(bench deploy test compile other)
typeset -ga _qi_learn_forms=(
    '^(cargo bench|go test .*-bench.*|(pytest|py\.test) .*--benchmark-only|hyperfine|asv|(npm|'\
'pnpm|yarn|bun) (run )?bench|make bench)([[:space:]]|$)'
    '^(kubectl (apply|rollout)|docker (push|stack deploy)|terraform apply|vercel|helm (install|'\
'upgrade)|fly(ctl)? deploy|netlify deploy|serverless deploy|ansible-playbook|twine upload|'\
'cargo publish|gcloud .*deploy|(npm|pnpm|yarn|bun) (publish|(run )?deploy)|make deploy|'\
'cap [A-Za-z0-9_]+ deploy)([[:space:]]|$)'
    '^(pytest|py\.test|tox|nox|unittest|doctest|cargo (test|nextest)|go test|(npm|pnpm|yarn|'\
'bun) (run )?(test|t)|deno test|ctest|jest|vitest|mocha|playwright test|rspec|rake (test|spec)|'\
'rails test|phpunit|gradlew? .*(test|check)|mvnw? .*(test|verify)|dotnet test|bazel test|mix test|'\
'swift test|zig (build )?test|stack test|cabal test|sbt .*test|make (test|check)|just test|'\
'meson test)([[:space:]]|$)'
    '^(py_compile|compileall|tsc|mypy|pyright|basedpyright|ty check|cargo (build|check|clippy)|'\
'go (build|vet)|make|cmake|ninja|meson compile|(gcc|g\+\+|clang|clang\+\+|cc|c\+\+)(-[0-9.]+)?|'\
'rustc|javac|kotlinc|swiftc|swift build|zig build|ghc|gradlew? .*(build|assemble|compile).*|'\
'mvnw? .*(compile|package)|dotnet build|bazel build|mix compile|(npm|pnpm|yarn|bun) (run )?(build|'\
'compile|typecheck)|nvcc|stack build|cabal build|sbt .*compile)([[:space:]]|$)'
    '^(ruff|flake8|pylint|eslint)([[:space:]]|$)'
)
# --- end ---

# Set REPLY to the kind of a command; fail if it is none of ours. The rules are those of `kind_of`
# in qi_learn/capture/command_kind.py.
_qi_learn_kind() {
    local rest=$1 first i
    local between='^([A-Za-z_][A-Za-z0-9_]*=[^[:space:]]*|-[^[:space:]]*|[0-9]+)[[:space:]]+(.*)$'
    while :; do
        first=${rest%%[[:space:]]*}
        rest=${first##*/}${rest#"$first"}
        [[ $rest =~ $_qi_learn_wrapper || $rest =~ $between ]] || break
        rest=${BASH_REMATCH[2]}
    done
    [[ $rest =~ $_qi_learn_python ]] && rest=${BASH_REMATCH[4]}
    for ((i = 0; i < ${#_qi_learn_kinds[@]}; i++)); do
        [[ $rest =~ ${_qi_learn_forms[i]} ]] && REPLY=${_qi_learn_kinds[i]} && return 0
    done
    return 1
}

# Set REPLY to the registered project that holds the working directory, the innermost one; fail
# outside all of them.
_qi_learn_project() {
    local list line path found=
    if [[ -n ${QI_LEARN_HOME-} ]]; then list=${QI_LEARN_HOME/#\~/$HOME}/data
    elif [[ -n ${XDG_DATA_HOME-} ]]; then list=$XDG_DATA_HOME/qi-learn
    elif [[ $OSTYPE == darwin* ]]; then list="$HOME/Library/Application Support/qi-learn"
    else list=$HOME/.local/share/qi-learn; fi
    [[ -r $list/projects.json ]] || return 1
    while IFS= read -r line || [[ -n $line ]]; do
        [[ $line =~ ^[[:space:]]*\"(.*)\",?$ ]] || continue
        path=${BASH_REMATCH[1]//\\\"/\"}
        path=${path//\\\\/\\}
        [[ $PWD/ == "${path%/}"/* && ${#path} -gt ${#found} ]] && found=$path
    done <"$list/projects.json"
    [[ -n $found ]] && REPLY=$found
}

# Set REPLY to a text as it stands within a JSON string.
_qi_learn_escaped() {
    local LC_ALL=C text=$1 i char code
    text=${text//\\/\\\\}
    text=${text//\"/\\\"}
    text=${text//$'\n'/\\n}
    text=${text//$'\t'/\\t}
    text=${text//$'\r'/\\r}
    if [[ $text == *[$'\x01'-$'\x1f']* ]]; then
        for ((i = 1; i < 32; i++)); do
            printf -v code '%02x' "$i"
            printf -v char '%b' "\\x$code"
            text=${text//"$char"/\\u00$code}
        done
    fi
    REPLY=$text
}

# Set _qi_learn_file to this shell's own file (0600); fail if there is no spool.
_qi_learn_open() {
    [[ -n $_qi_learn_file && -e $_qi_learn_file && $_qi_learn_size -lt 8388608 ]] && return 0
    local spool mask
    if [[ -n ${QI_LEARN_HOME-} ]]; then spool=${QI_LEARN_HOME/#\~/$HOME}/state/spool
    elif [[ -n ${XDG_STATE_HOME-} ]]; then spool=$XDG_STATE_HOME/qi-learn/spool
    elif [[ $OSTYPE == darwin* ]]; then spool="$HOME/Library/Application Support/qi-learn/spool"
    else spool=$HOME/.local/state/qi-learn/spool; fi
    [[ -d $spool && -w $spool ]] || return 1
    _qi_learn_file=$spool/bash-$$-${EPOCHREALTIME/[.,]/}000.jsonl _qi_learn_size=0
    _qi_learn_noted umask && mask=$REPLY || return 1
    umask 077
    : >>"$_qi_learn_file"
    umask "$mask"
}

# Set REPLY to what a builtin prints, by way of a file: a command substitution would start a
# process.
_qi_learn_noted() {
    local note=${XDG_RUNTIME_DIR:-${_qi_learn_file%/*}}/.qi-learn-bash-$$
    REPLY=
    "$@" >|"$note" && { IFS= read -r REPLY <"$note" || [[ -n $REPLY ]]; } && : >|"$note"
}

# Append the line for a command that took from $3 to now (microseconds).
_qi_learn_record() {
    local command=$1 exit_code=$2 began=$3 now=${EPOCHREALTIME/[.,]/} kind project when seconds
    _qi_learn_kind "$command" && kind=$REPLY || return 0
    _qi_learn_project && _qi_learn_escaped "$REPLY" && project=$REPLY || return 0
    _qi_learn_open || return 0
    _qi_learn_escaped "$command"
    TZ=UTC printf -v when '%(%Y-%m-%dT%H:%M:%S)T' "$((now / 1000000))"
    printf -v when '%s.%03dZ' "$when" "$((now / 1000 % 1000))"
    printf -v seconds '%d.%06d' "$(((now - began) / 1000000))" "$(((now - began) % 1000000))"
    printf -v REPLY '{"v":1,"ts":"%s","kind":"outcome","source":"bash","author":"person",'\
'"project":"%s","body":{"kind":"%s","command":"%s","exit_code":%d,"seconds":%s}}' \
        "$when" "$project" "$kind" "$REPLY" "$exit_code" "$seconds"
    printf '%s\n' "$REPLY" >>"$_qi_learn_file"
    ((_qi_learn_size += ${#REPLY} + 1))
} 2>/dev/null

# Whether a line holds one command only, so that its exit status is that command's.
_qi_learn_alone() {
    local line=${1//[0-9]>&[0-9]/}
    line=${line//>&[0-9]/}
    line=${line//&>/}
    [[ $line != *[';|&`']* && $line != *$'\n'* && $line != *'$('* ]] &&
        [[ $line != ' '* && $line != $'\t'* ]]
}

# With bash-preexec: it gives the whole line.
_qi_learn_preexec() {
    _qi_learn_line=$1 _qi_learn_begin=${EPOCHREALTIME/[.,]/} _qi_learn_count=1
}

_qi_learn_precmd_with_preexec() {
    local code=$?
    if ((_qi_learn_count == 1)) && _qi_learn_alone "$_qi_learn_line"; then
        _qi_learn_record "$_qi_learn_line" "$code" "$_qi_learn_begin"
    fi
    _qi_learn_count=0
    return "$code"
}

# Without: PS0 marks the beginning of a line, the DEBUG trap sees each command in it (aliases
# replaced), the prompt its end.
_qi_learn_debug() {
    [[ $BASH_COMMAND == _qi_learn_precmd* ]] && return 0
    ((_qi_learn_count++)) || _qi_learn_line=$BASH_COMMAND _qi_learn_number=$HISTCMD
    return 0
}

_qi_learn_precmd() {
    local code=$? pipes=${#PIPESTATUS[@]} job=${!-}
    if ((_qi_learn_count > 0)) && _qi_learn_shown &&
        ((_qi_learn_count == 1 && pipes == 1)) && [[ $job == "$_qi_learn_job" ]]; then
        _qi_learn_record "$_qi_learn_line" "$code" "$_qi_learn_begin"
    fi
    _qi_learn_job=$job _qi_learn_count=0
    return "$code"
}

# Whether the line may be seen: the history has it, or had it just before if it was typed twice, and
# it does not begin with a space there.
_qi_learn_shown() {
    local line=$_qi_learn_line before=$_qi_learn_last_line HISTTIMEFORMAT=
    local added=$((_qi_learn_number != _qi_learn_last_number))
    ((added)) && _qi_learn_last_line=$line _qi_learn_last_number=$_qi_learn_number
    _qi_learn_kind "$line" && _qi_learn_alone "$line" && _qi_learn_project || return 1
    ((added)) || { [[ $before == "$line" ]]; return; }
    [[ :${HISTCONTROL-}: == *:ignorespace:* || :${HISTCONTROL-}: == *:ignoreboth:* ]] && return 0
    _qi_learn_open && _qi_learn_noted history 1 &&
        [[ ! $REPLY =~ ^[[:space:]]*[0-9]+\*?[[:space:]]{3} ]]
} 2>/dev/null

if [[ -n ${bash_preexec_imported-}${__bp_imported-} ]]; then
    preexec_functions+=(_qi_learn_preexec)
    precmd_functions+=(_qi_learn_precmd_with_preexec)
elif [[ -z $(trap -p DEBUG) ]]; then
    PS0='${_qi_learn_none[_qi_learn_count=0, _qi_learn_begin=${EPOCHREALTIME/[.,]/}]}'${PS0-}
    if [[ ${PROMPT_COMMAND@a} == *a* ]]; then
        PROMPT_COMMAND=(_qi_learn_precmd "${PROMPT_COMMAND[@]}")
    else
        PROMPT_COMMAND="_qi_learn_precmd${PROMPT_COMMAND:+; $PROMPT_COMMAND}"
    fi
    trap '_qi_learn_debug "$_"' DEBUG
fi
return 0
