# qi-learn hook for zsh 5: how tests, builds, deployments and benchmarks ended, for the projects
# registered with `qi-learn init`.
#
# Load it in ~/.zshrc:   source /path/to/qi-learn.zsh
#
# One line of JSON is appended to this shell's own file in the spool for each such command whose end
# is certain. `cd web && npm test` that ends with 0 is, `npm test; true` is not: such a line says
# nothing (docs/internals/decisions/0032). Nothing else is recorded, no process is started, the exit
# status stays what it was, and if anything is missing nothing happens. A line that begins with a
# space is not recorded.

[[ -o interactive && -z ${_qi_learn_loaded-} ]] || return 0
zmodload zsh/datetime zsh/system zsh/parameter 2>/dev/null || return 0
zmodload -F zsh/stat b:zstat 2>/dev/null
typeset -g _qi_learn_loaded=1 _qi_learn_file='' _qi_learn_line='' _qi_learn_run='' _qi_learn_from=''
typeset -g _qi_learn_listed='' _qi_learn_found='' _qi_learn_list=''
typeset -g _qi_learn_spool='' _qi_learn_chance='' _qi_learn_high='' _qi_learn_date=''
typeset -g _qi_learn_held='' _qi_learn_cwd='' _qi_learn_pause=''
typeset -gi _qi_learn_fd=-1 _qi_learn_size=0 _qi_learn_number=99999 _qi_learn_begin=0
typeset -gi _qi_learn_after=0 _qi_learn_until=0
typeset -ga _qi_learn_two=()

# --- from qi_learn/capture/command_kind.py, by scripts/hook_patterns ---
typeset -g _qi_learn_wrappers='env time nice nohup sudo xvfb-run exec run npx bunx uvx uv pipx '\
'poetry pdm hatch pipenv rye bundle coverage'
typeset -gA _qi_learn_heads=(cargo '1 18 29 62' go '2 30 63' pytest '3 23' py.test '3 24'
    hyperfine '4' asv '5' npm '6 20 31 81' pnpm '6 20 31 81' yarn '6 20 31 81' bun '6 20 31 81'
    make '7 21 52 64' kubectl '8' docker '9' terraform '10' vercel '11' helm '12' flyctl '13'
    fly '13' netlify '14' serverless '15' ansible-playbook '16' twine '17' gcloud '19' cap '22'
    tox '25' nox '26' unittest '27' doctest '28' deno '32' ctest '33' jest '34' vitest '35'
    mocha '36' playwright '37' rspec '38' rake '39' rails '40' phpunit '41' gradle '42 76'
    gradlew '42 76' mvn '43 77' mvnw '43 77' dotnet '44 78' bazel '45 79' mix '46 80' swift '47 73'
    zig '48 74' stack '49 83' cabal '50 84' sbt '51 85' just '53' meson '54 67' py_compile '55'
    compileall '56' tsc '57' mypy '58' pyright '59' basedpyright '60' ty '61' cmake '65' ninja '66'
    gcc '68' g++ '68' clang '68' clang++ '68' cc '68' c++ '68' rustc '69' javac '70' kotlinc '71'
    swiftc '72' ghc '75' nvcc '82' ruff '86' flake8 '87' pylint '88' eslint '89')
typeset -ga _qi_learn_kinds=(bench bench bench bench bench bench bench deploy deploy deploy deploy
    deploy deploy deploy deploy deploy deploy deploy deploy deploy deploy deploy test test test
    test test test test test test test test test test test test test test test test test test test
    test test test test test test test test test test compile compile compile compile compile
    compile compile compile compile compile compile compile compile compile compile compile compile
    compile compile compile compile compile compile compile compile compile compile compile compile
    compile compile other other other other)
typeset -ga _qi_learn_forms=('cargo bench' 'go test *-bench*' '@(pytest|py.test) *--benchmark-only'
    'hyperfine' 'asv' '@(npm|pnpm|yarn|bun) ?(run )bench' 'make bench' 'kubectl @(apply|rollout)'
    'docker @(push|stack deploy)' 'terraform apply' 'vercel' 'helm @(install|upgrade)'
    'fly?(ctl) deploy' 'netlify deploy' 'serverless deploy' 'ansible-playbook' 'twine upload'
    'cargo publish' 'gcloud *deploy' '@(npm|pnpm|yarn|bun) @(publish|?(run )deploy)' 'make deploy'
    'cap +([A-Za-z0-9_]) deploy' 'pytest' 'py.test' 'tox' 'nox' 'unittest' 'doctest'
    'cargo @(test|nextest)' 'go test' '@(npm|pnpm|yarn|bun) ?(run )@(test|t)' 'deno test' 'ctest'
    'jest' 'vitest' 'mocha' 'playwright test' 'rspec' 'rake @(test|spec)' 'rails test' 'phpunit'
    'gradle?(w) *@(test|check)' 'mvn?(w) *@(test|verify)' 'dotnet test' 'bazel test' 'mix test'
    'swift test' 'zig ?(build )test' 'stack test' 'cabal test' 'sbt *test' 'make @(test|check)'
    'just test' 'meson test' 'py_compile' 'compileall' 'tsc' 'mypy' 'pyright' 'basedpyright'
    'ty check' 'cargo @(build|check|clippy)' 'go @(build|vet)' 'make' 'cmake' 'ninja'
    'meson compile' '@(gcc|g++|clang|clang++|cc|c++)?(-+([0-9.]))' 'rustc' 'javac' 'kotlinc'
    'swiftc' 'swift build' 'zig build' 'ghc' 'gradle?(w) *@(build|assemble|compile)*'
    'mvn?(w) *@(compile|package)' 'dotnet build' 'bazel build' 'mix compile'
    '@(npm|pnpm|yarn|bun) ?(run )@(build|compile|typecheck)' 'nvcc' 'stack build' 'cabal build'
    'sbt *compile' 'ruff' 'flake8' 'pylint' 'eslint')
# --- end ---
typeset -ga _qi_learn_names=("${(@k)_qi_learn_heads[@]}")

# What is below is called with the options that `_qi_learn_precmd` sets: `emulate` in each function
# would cost as much as all the rest. A call costs zsh as much as ten lines (memory of its own is
# mapped and unmapped), so what each line of ours needs stands in that one function.

# Set REPLY to the kind of a command; fail if it is none of ours. The rules are those of `kind_of`
# in qi_learn/capture/command_kind.py.
_qi_learn_kind() {
    setopt ksh_glob # a test calls it by itself
    local rest=$1 head=${1%% *} number form
    [[ -n ${_qi_learn_heads[$head]-} ]] || _qi_learn_head
    for number in ${=_qi_learn_heads[$head]-}; do
        form=$_qi_learn_forms[number]
        [[ "$rest " == ${~form}[[:space:]]* ]] && REPLY=$_qi_learn_kinds[number] && return 0
    done
    return 1
}

# Set `rest` to the command without what may stand before it, and `head` to its first word.
_qi_learn_head() {
    local first match mbegin mend MATCH MBEGIN MEND
    while true; do
        first=${rest%%[[:space:]]*}
        rest=${rest#"$first"} head=${first##*/} first=${first%%=*}
        [[ -z ${_qi_learn_heads[$head]-} && $rest == *[^[:space:]]* &&
            ( " $_qi_learn_wrappers " == *" $head "* || $head == -* ||
            ( -n $head && $head != *[^0-9]* ) || ( $head == *=* && $first != *[^A-Za-z0-9_]* &&
            $first == [A-Za-z_]* ) ) ]] || break
        rest=${rest#"${rest%%[^[:space:]]*}"}
    done
    rest=$head$rest
    if [[ $head == python* || $head == pypy* ]]; then
        local python='^(python|pypy)[0-9.]*w?(\.exe)?([[:space:]]+-[^[:space:]]+)*[[:space:]]+-m'
        [[ $rest =~ "${python}[[:space:]]+(.*)\$" ]] && rest=$match[4] &&
            head=${rest%%[[:space:]]*}
    fi
    [[ $head != *-[0-9]* || -n ${_qi_learn_heads[$head]-} ]] || head=${head%-*}
}

# --- what is outside: project, spool ---

# Set _qi_learn_list, _qi_learn_spool and _qi_learn_pause to where the projects are listed, the
# events go, and a pause is told.
_qi_learn_find() {
    local data state
    if [[ $OSTYPE == darwin* ]]; then
        data="$HOME/Library/Application Support/qi-learn" state=$data
    else
        data=$HOME/.local/share/qi-learn state=$HOME/.local/state/qi-learn
    fi
    [[ -z ${XDG_DATA_HOME-} ]] || data=$XDG_DATA_HOME/qi-learn
    [[ -z ${XDG_STATE_HOME-} ]] || state=$XDG_STATE_HOME/qi-learn
    [[ -z ${QI_LEARN_HOME-} ]] ||
        data=${QI_LEARN_HOME/#\~/$HOME}/data state=${QI_LEARN_HOME/#\~/$HOME}/state
    data+=/projects.json state+=/spool
    [[ $data == "$_qi_learn_list" && $state == "$_qi_learn_spool" ]] || _qi_learn_file=
    _qi_learn_list=$data _qi_learn_spool=$state _qi_learn_pause=${state%/*}/pause.json
}

# Set _qi_learn_found to the registered project that holds the working directory, the innermost one;
# fail if there is none. It and the directory are kept as they stand in JSON, too. The list is read
# again if it is another file than before, or one that was just being written then; `places` holds
# all else that counts.
_qi_learn_project() {
    local line held text
    _qi_learn_found= _qi_learn_listed=
    _qi_learn_find
    zstat -A looked "$_qi_learn_list" || [[ -r $_qi_learn_list ]] || return 1
    (($#looked && looked[11] < EPOCHSECONDS - 2)) &&
        _qi_learn_listed="$looked[2] $looked[11] $places"
    text="$(<$_qi_learn_list)" # reads it without a process
    for line in ${(f)text}; do
        [[ $line == *\"*\"* ]] || continue
        held=${${line#*\"}%\"*}
        [[ $held != *\\u* ]] || printf -v held %b "${held//\\\\/\\\\\\\\}" # of version 0.1
        held=${held//\\\"/\"}
        held=${held//\\\\/\\}
        [[ $real/ == "${held%/}"/* || $PWD/ == "${held%/}"/* ]] || continue
        ((${#held} > ${#_qi_learn_found})) && _qi_learn_found=$held
    done
    _qi_learn_escaped "$_qi_learn_found"
    _qi_learn_held=$REPLY
    _qi_learn_escaped "$real"
    _qi_learn_cwd=$REPLY
    [[ -n $_qi_learn_found ]]
}

# Set REPLY to a text as it stands within a JSON string.
_qi_learn_escaped() {
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
    local spool=$_qi_learn_spool now=$EPOCHREALTIME
    [[ -d $spool && -w $spool ]] || return 1
    ((_qi_learn_fd >= 0)) && exec {_qi_learn_fd}>&-
    _qi_learn_fd=-1 _qi_learn_size=0 _qi_learn_file=$spool/zsh-$$-${${now/[.,]/}[1,16]}000.jsonl
    sysopen -w -a -m 600 -o creat,cloexec -u _qi_learn_fd "$_qi_learn_file"
}

# Set the date and what an id begins with, once in 18 minutes: the first letters of a ULID of the
# time. The chance of this shell and a count make it one that cannot come again.
_qi_learn_id() {
    local letters=0123456789ABCDEFGHJKMNPQRSTVWXYZ
    local -i i at
    local -i day=$((now / 86400000000 * 86400000000)) quarter=$((now >> 30 << 30))
    ((_qi_learn_after = quarter > day ? quarter : day, quarter += 1 << 30, day += 86400000000,
        _qi_learn_until = quarter < day ? quarter : day))
    ((_qi_learn_number <= 900000)) || _qi_learn_number=100000
    TZ=UTC strftime -s _qi_learn_date '%Y-%m-%dT' $((now / 1000000))
    if [[ -z $_qi_learn_chance ]]; then
        for ((i = 45; i >= 0; i -= 5)); do
            ((at = ((($$ << 20 ^ now) >> i ^ RANDOM) & 31) + 1))
            _qi_learn_chance+=$letters[at]
        done
        for ((i = 0; i < 60; i++)); do _qi_learn_two+=(${(l:2::0:)i}); done
    fi
    _qi_learn_high=
    for ((i = 45; i >= 20; i -= 5)); do
        ((at = ((now / 1000) >> i & 31) + 1))
        _qi_learn_high+=$letters[at]
    done
}

# Whether a pause (`qi-learn pause`) holds at $1 (seconds). One that has no end, or cannot be read,
# does.
_qi_learn_paused() {
    local until=
    IFS= read -r until <"$_qi_learn_pause"
    until=${${until#*\"until\": }%%,*}
    [[ -z $until || $until == *[^0-9]* ]] || ((until > $1))
}

# --- what a line says ---

# Set `bare` to the line $1 with every quoted character as Q, so that what is left of | ; & < > and
# the rest has its meaning; fail if it holds what this file does not read: substitutions, groups,
# negation, background, here-documents, several lines. What people mostly write goes by globs: zsh
# compiles a regular expression each time.
_qi_learn_bare() {
    local MATCH MBEGIN MEND
    bare=$1
    if [[ $bare == *[\'\"\\]* ]]; then
        bare=${bare//(#m)(\'[^\']#\'|\"[^\"\\\`\$]#\")/${(l:$#MATCH::Q:)}}
        [[ $bare != *[\'\"\\]* ]] || _qi_learn_quoted "$1" || return 1
    fi
    [[ $bare != *[\`\(\){}!\'\"\\$'\n']* ]] || return 1
    if [[ $bare == *[\<\|\;\#]* ]]; then
        [[ $bare != *'<<'* && $bare != *'||'* && $bare != *'|&'* && $bare != *';;'* &&
            " $bare" != *[[:space:]\;\|\&]\#* ]] || return 1
    fi
    if [[ $bare == *[\<\>]* ]]; then
        bare="$bare "
        bare=${bare//(#m) (|[0-9])(\>\&[0-2]|(\>|\>\>)(| )\/dev\/null) /${(l:$#MATCH:: :)}}
        bare[-1]=
        [[ $bare != *[\<\>]* ]] || _qi_learn_redirected
    fi
    bare=${bare//&&/$'\x01\x01'}
    [[ $bare != *'&'* ]]
}

# The same for quotes with \ and $ in them or beside them.
_qi_learn_quoted() {
    local rest=$1 blank match mbegin mend
    local quoted=$'^([^"\'\\\\]*)(\'[^\']*\'|"([^"\\\\`]|\\\\.)*"|\\\\.)(.*)$'
    bare=
    while [[ $rest == *[\'\"\\]* && $rest =~ $quoted ]]; do
        rest=$match[4]
        blank=${(l:${#match[2]}::Q:)}
        if [[ $match[2] == \"*\$* ]]; then
            [[ $match[2] == *\$[\({]* ]] && return 1
            blank=\$${blank[2,-1]}
        fi
        bare+=$match[1]$blank
    done
    bare+=$rest
}

# Blank redirections in `bare` that cannot fail.
_qi_learn_redirected() {
    local match mbegin mend
    local safe='^(.*)([0-9]?>&[0-2]|[0-9&]?>>?[[:space:]]*/dev/null|<[[:space:]]*/dev/null)'
    while [[ $bare == *[\<\>]* && $bare =~ "$safe([[:space:];|&].*)?\$" ]]; do
        bare=$match[1]${(l:${#match[2]}:: :)}$match[3]
    done
    bare=${${${bare//&>/ >}//>|/> }//>&/> }
}

# Set `word` to the word that the shell runs in a part of a line, behind `time` and assignments;
# fail if an assignment cannot be made.
_qi_learn_word() {
    local _qi_learn_rest=$1 match mbegin mend MATCH MBEGIN MEND
    local before='^[[:space:]]*(time|-p|([A-Za-z_][A-Za-z0-9_]*)=[^[:space:]]*)([[:space:]].*)$'
    while [[ ( $_qi_learn_rest == *=* || $_qi_learn_rest == *time* ) &&
        $_qi_learn_rest =~ $before ]]; do
        _qi_learn_rest=$match[3]
        [[ -n $match[2] && ${(tP)match[2]} == *readonly* ]] && return 1
    done
    word=${${_qi_learn_rest##[[:space:]]#}%%[[:space:]]*}
}

# Words that mean more than a command, and commands that cannot end a line.
typeset -gA _qi_learn_reserved=(if 1 then 1 else 1 elif 1 fi 1 for 1 foreach 1 end 1 while 1 until 1
    repeat 1 do 1 done 1 case 1 esac 1 select 1 function 1 coproc 1 '[[' 1 exec 1 eval 1 command 1
    builtin 1 noglob 1 nocorrect 1 - 1)
typeset -gA _qi_learn_harmless=(cd 1 clear 1 date 1 echo 1 false 1 git 1 ls 1 sleep 1 true 1)

# Fill `parts` (texts), `bares` (the same, without what is quoted), `words` (what they run) and
# `ops` (between them: ; | or x01 for &&) from `line`; fail if it is not of commands alone.
_qi_learn_split() {
    local bare piece text word
    local -i at=0
    [[ $line == "$typed" ]] || _qi_learn_bare "$typed" || return 1
    _qi_learn_bare "$line" || return 1
    while true; do
        piece=${bare%%[$';|\x01']*}
        text=${line[at+1,at+$#piece]##[[:space:]]#}
        text=${text% }
        [[ $text != *[[:space:]] ]] || text=${text%%[[:space:]]#}
        if [[ -z $text ]]; then
            [[ ${ops[-1]-} == ';' && $piece == "$bare" ]] || return 1
            ops[-1]=()
            return 0
        fi
        if [[ $piece == *=* || $piece == *time* ]]; then
            _qi_learn_word "$piece" || return 1
        else
            word=${${piece##[[:space:]]#}%%[[:space:]]*}
        fi
        ((!${+_qi_learn_reserved[$word]})) || return 1
        parts+=("$text") bares+=("$piece") words+=("$word")
        [[ $piece == "$bare" ]] && return 0
        ops+=("$bare[$#piece+1]")
        ((at += $#piece + 1))
        bare=$bare[$#piece+2,-1]
        if [[ $ops[-1] == $'\x01' ]]; then
            ((at += 1))
            bare[1]=
        fi
    done
}

# Whether a part can only end with its command's own exit code $2: not for want of what it is
# written to or read from, of a variable or of a file, and not because it was stopped.
_qi_learn_own() {
    (($2 == 0)) && return 0
    (($2 >= 145 && $2 <= 150)) && return 1
    [[ $1 == *\$* && -n $nounset ]] && return 1
    (($2 != 1)) || [[ $1 != *[\<\>*?\[\~^\#]* && ! $1 =~ '[[:space:]]=' ]]
}

# Whether the first $1 parts cannot have ended the line.
_qi_learn_calm() {
    local REPLY
    local -i i
    for ((i = 1; i <= $1; i++)); do
        [[ $bares[i] != *[\$\<\>*?\[=\~^\#]* ]] || return 1
        ((${+_qi_learn_harmless[$words[i]]})) || _qi_learn_kind "$parts[i]" || return 1
        ((!${+functions[$words[i]]})) || return 1
    done
}

# Fill `told` with numbers of parts, each before its exit code, as far as they follow from the exit
# code of the line and those of its last pipeline.
_qi_learn_told() {
    local -i n=$#parts first=0 group=0 all whole=1 i own
    local REPLY
    local -a codes=(${=pipes//[^0-9]/ }) last
    ((all = code == 0))
    for ((i = 1; i < n; i++)); do
        [[ $ops[i] == '|' ]] || first=i
        [[ $ops[i] == ';' ]] && group=i
        if ((all)); then
            [[ $ops[i] == $'\x01' ]] && ((!${+_qi_learn_harmless[$words[i]]})) &&
                _qi_learn_kind "$parts[i]" && told+=($i 0) || all=0
        fi
    done
    ((all)) || told=()
    ((n - first > 1)) || codes=($code)
    (($#codes == n - first)) || return 1
    if ((first > 0 && code != 0)); then
        ((code < 128)) || return 1
        if ((group < first)); then # only a `cd` may stand before it, and it must have worked
            [[ $first -eq 1 && $words[1] == cd && $PWD != "$_qi_learn_from" ]] || return 1
        fi
        _qi_learn_calm $group || return 1
    fi
    for ((i = n; i > first; i--)); do
        own=codes[i-first]
        if ((own == 0)); then
            last=($i 0 $last)
        elif ((whole && (own < 128 || n == 1))); then
            _qi_learn_own "$bares[i]" $own && last=($i $own $last)
        fi
        [[ ' cat tail tee sort wc ' == *" $words[i] "* ]] || whole=0 # may not read to the end
    done
    told+=($last)
}

# --- when ---

# $1 is the line as it was typed, $3 what is run (aliases replaced). Most lines hold nothing of ours
# and are done with here, whatever the options are.
_qi_learn_preexec() {
    _qi_learn_line=
    [[ $1 != [[:space:]]* && $1 != *$'\n'* ]] || return 0
    if [[ -z ${_qi_learn_heads[${3%% *}]-} ]]; then
        local words=${3//[;|&\/=($' \t\n']/ }
        [[ -n ${${(@s: :)words}:*_qi_learn_names} ]] || [[ $words == *-[0-9]* &&
            -n ${${(@)${(@s: :)words}%-*}:*_qi_learn_names} ]] || return 0
    fi
    _qi_learn_line=$1 _qi_learn_run=$3 _qi_learn_from=$PWD
    ((_qi_learn_begin = EPOCHREALTIME * 1000000)) || :
}

# Every function for this event gets $? and pipestatus as the line left them.
_qi_learn_precmd() {
    local code=$? pipes="${pipestatus[@]}"
    [[ -n $_qi_learn_line ]] || return 0
    local line=$_qi_learn_run typed=$_qi_learn_line nounset= real places head rest form i own REPLY
    local -a looked parts words bares ops told
    local -i now took number mid at
    local IFS=$' \t\n'
    _qi_learn_line=
    [[ -o unset ]] || nounset=1
    emulate -L zsh +o rematch_pcre +o multibyte -o ksh_glob -o extended_glob
    {
        real=${PWD:A}
        places="$real:$PWD:${QI_LEARN_HOME-}:${XDG_DATA_HOME-}:${XDG_STATE_HOME-}:$HOME"
        zstat -A looked "$_qi_learn_list"
        if [[ "$looked[2] $looked[11] $places" != "$_qi_learn_listed" ]]; then
            _qi_learn_project || return 0
        fi
        [[ -n $_qi_learn_found ]] || return 0
        if [[ $line != "$typed" ]]; then
            line=${line//$'\n'/;}
            [[ ${line//[[:space:]]/} != "${typed//[[:space:]]/}" ]] || line=$typed
        fi
        head=${line%% *}
        if [[ $line != "$typed" || $line == *[^A-Za-z0-9_./:@%+,\ -]* || $line == *\  ||
            $head == time || -n ${_qi_learn_reserved[$head]-} ]]; then
            _qi_learn_split && _qi_learn_told || return 0
        elif ((code < 145 || code > 150)); then
            parts=("$line") words=("$head") told=(1 $code) # one command, as most lines are
        fi
        for i own in $told; do
            ((!${+functions[$words[i]]})) || continue
            line=$parts[i]
            rest=$line head=${line%% *} # from here as _qi_learn_kind
            [[ -n ${_qi_learn_heads[$head]-} ]] || _qi_learn_head
            for number in ${=_qi_learn_heads[$head]-} 0; do
                form=$_qi_learn_forms[number]
                [[ "$rest " == ${~form}[[:space:]]* ]] && break
            done
            ((number)) || continue
            ((_qi_learn_fd >= 0 && _qi_learn_size < 8388608)) && [[ -e $_qi_learn_file ]] ||
                _qi_learn_open || return 0
            if [[ $line == *[\\\"[:cntrl:]]* ]]; then
                _qi_learn_escaped "$line"
                line=$REPLY
            fi
            # each field that is padded costs as much as two that are not
            ((now = EPOCHREALTIME * 1000000, took = now - _qi_learn_begin, _qi_learn_number++,
                mid = (now >> 18 & 4095) + 1000, at = now / 1000000,
                now < _qi_learn_until && now >= _qi_learn_after)) || _qi_learn_id
            [[ ! -e $_qi_learn_pause ]] || ! _qi_learn_paused $at || return 0
            ((took >= 0)) || took=0 # the clock was set back
            line='{"v":1,"id":"'$_qi_learn_high$mid$_qi_learn_chance$_qi_learn_number'","ts":"'\
$_qi_learn_date$_qi_learn_two[at/3600%24+1]:$_qi_learn_two[at/60%60+1]:$_qi_learn_two[at%60+1].\
${now[-6,-4]}'Z","kind":"outcome",'\
'"source":"zsh","author":"person","project":"'$_qi_learn_held'","body":{"kind":"'\
$_qi_learn_kinds[number]'","command":"'$line'","exit_code":'$own',"seconds":'$took\
'e-6,"cwd":"'$_qi_learn_cwd$'"}}\n'
            syswrite -o $_qi_learn_fd -- "$line"
            ((_qi_learn_size += $#line))
        done
    } 2>/dev/null
    return 0
}

autoload -Uz add-zsh-hook
add-zsh-hook preexec _qi_learn_preexec
add-zsh-hook precmd _qi_learn_precmd
return 0
