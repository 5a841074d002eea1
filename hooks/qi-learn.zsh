# qi-learn hook for zsh 5: how tests, builds, deployments and benchmarks ended, for the projects
# registered with `qi-learn init`.
#
# Load it in ~/.zshrc:   source /path/to/qi-learn.zsh
#
# After a command that looks like one of those, alone on its line, one line of JSON is appended to
# this shell's own file in the spool. Nothing else is recorded, no process is started, the exit
# status stays what it was, and if anything is missing nothing happens. A line that begins with a
# space is not recorded.

[[ -o interactive && -z ${_qi_learn_loaded-} ]] || return 0
zmodload zsh/datetime zsh/system 2>/dev/null || return 0
typeset -g _qi_learn_loaded=1 _qi_learn_file= _qi_learn_line= _qi_learn_run=
typeset -gi _qi_learn_fd=-1 _qi_learn_size=0
typeset -gF _qi_learn_begin=0

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
    emulate -L zsh
    local rest=$1 first match mbegin mend MATCH MBEGIN MEND
    local -i i
    local between='^([A-Za-z_][A-Za-z0-9_]*=[^[:space:]]*|-[^[:space:]]*|[0-9]+)[[:space:]]+(.*)$'
    while true; do
        first=${rest%%[[:space:]]*}
        rest=${first##*/}${rest#$first}
        [[ $rest =~ $_qi_learn_wrapper || $rest =~ $between ]] || break
        rest=$match[2]
    done
    [[ $rest =~ $_qi_learn_python ]] && rest=$match[4]
    for ((i = 1; i <= $#_qi_learn_kinds; i++)); do
        [[ $rest =~ $_qi_learn_forms[i] ]] && REPLY=$_qi_learn_kinds[i] && return 0
    done
    return 1
}

# Set REPLY to the registered project that holds the working directory, the innermost one; fail
# outside all of them.
_qi_learn_project() {
    emulate -L zsh
    local list line held found= match mbegin mend MATCH MBEGIN MEND
    if [[ -n ${QI_LEARN_HOME-} ]]; then list=${QI_LEARN_HOME/#\~/$HOME}/data
    elif [[ -n ${XDG_DATA_HOME-} ]]; then list=$XDG_DATA_HOME/qi-learn
    elif [[ $OSTYPE == darwin* ]]; then list="$HOME/Library/Application Support/qi-learn"
    else list=$HOME/.local/share/qi-learn; fi
    [[ -r $list/projects.json ]] || return 1
    while IFS= read -r line || [[ -n $line ]]; do
        [[ $line =~ '^[[:space:]]*"(.*)",?$' ]] || continue
        held=${match[1]//\\\"/\"}
        held=${held//\\\\/\\}
        [[ $PWD/ == "${held%/}"/* && ${#held} -gt ${#found} ]] && found=$held
    done <"$list/projects.json"
    [[ -n $found ]] && REPLY=$found
}

# Set REPLY to a text as it stands within a JSON string.
_qi_learn_escaped() {
    emulate -L zsh
    unsetopt multibyte
    local text=$1 code char i
    text=${text//\\/\\\\}
    text=${text//\"/\\\"}
    text=${text//$'\n'/\\n}
    text=${text//$'\t'/\\t}
    text=${text//$'\r'/\\r}
    if [[ $text == *[$'\x01'-$'\x1f']* ]]; then
        for ((i = 1; i < 32; i++)); do
            printf -v code '%02x' $i
            printf -v char "\\x$code"
            text=${text//$char/\\u00$code}
        done
    fi
    REPLY=$text
}

# Open this shell's own file (0600, append); fail if there is no spool.
_qi_learn_open() {
    emulate -L zsh
    ((_qi_learn_fd >= 0 && _qi_learn_size < 8388608)) && [[ -e $_qi_learn_file ]] && return 0
    local spool now=$EPOCHREALTIME
    if [[ -n ${QI_LEARN_HOME-} ]]; then spool=${QI_LEARN_HOME/#\~/$HOME}/state/spool
    elif [[ -n ${XDG_STATE_HOME-} ]]; then spool=$XDG_STATE_HOME/qi-learn/spool
    elif [[ $OSTYPE == darwin* ]]; then spool="$HOME/Library/Application Support/qi-learn/spool"
    else spool=$HOME/.local/state/qi-learn/spool; fi
    [[ -d $spool && -w $spool ]] || return 1
    ((_qi_learn_fd >= 0)) && exec {_qi_learn_fd}>&-
    _qi_learn_fd=-1 _qi_learn_size=0 _qi_learn_file=$spool/zsh-$$-${${now/[.,]/}[1,16]}000.jsonl
    sysopen -w -a -m 600 -o creat,cloexec -u _qi_learn_fd "$_qi_learn_file"
}

# Append the line for a command that took from $3 to now (seconds).
_qi_learn_record() {
    emulate -L zsh
    local command=$1 when kind project line REPLY
    local -i exit_code=$2
    local -F now=$EPOCHREALTIME began=$3
    local -i milliseconds=$(((now - ${now%.*}) * 1000))
    _qi_learn_kind "$command" && kind=$REPLY || return 0
    _qi_learn_project && _qi_learn_escaped "$REPLY" && project=$REPLY || return 0
    _qi_learn_open || return 0
    _qi_learn_escaped "$command"
    TZ=UTC strftime -s when '%Y-%m-%dT%H:%M:%S' ${now%.*}
    LC_ALL=C printf -v line '{"v":1,"ts":"%s.%03dZ","kind":"outcome","source":"zsh",'\
'"author":"person","project":"%s","body":{"kind":"%s","command":"%s",'\
'"exit_code":%d,"seconds":%.6f}}\n' \
        "$when" $milliseconds "$project" "$kind" "$REPLY" $exit_code $((now - began))
    syswrite -o $_qi_learn_fd -- "$line"
    ((_qi_learn_size += ${#line}))
    return 0
} 2>/dev/null

# Whether a line holds one command only, so that its exit status is that command's.
_qi_learn_alone() {
    emulate -L zsh
    local line=${1//[0-9]>&[0-9]/}
    line=${line//>&[0-9]/}
    line=${line//&>/}
    [[ $line != *[\;\|\&\`]* && $line != *$'\n'* && $line != *'$('* ]] &&
        [[ $line != ' '* && $line != $'\t'* ]]
}

# $1 is the line as it was typed, $3 what is run (aliases replaced).
_qi_learn_preexec() {
    _qi_learn_line=$1 _qi_learn_run=$3 _qi_learn_begin=$EPOCHREALTIME
}

_qi_learn_precmd() {
    local -i code=$?
    [[ -n $_qi_learn_line ]] && _qi_learn_alone "$_qi_learn_line" &&
        _qi_learn_alone "$_qi_learn_run" &&
        _qi_learn_record "$_qi_learn_run" $code $_qi_learn_begin
    _qi_learn_line=
    return $code
}

autoload -Uz add-zsh-hook
add-zsh-hook preexec _qi_learn_preexec
add-zsh-hook precmd _qi_learn_precmd
return 0
