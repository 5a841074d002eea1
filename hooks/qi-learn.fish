# qi-learn hook for fish 3.4 and newer: how tests, builds, deployments and benchmarks ended, for the
# projects registered with `qi-learn init`.
#
# Load it in ~/.config/fish/config.fish:   source /path/to/qi-learn.fish
#
# A line that may hold such a command is written as JSON to a file of its own in the spool, with
# what only the shell knows of it. What it says is decided where the spool is taken in: the truth,
# or nothing (docs/internals/decisions/0048); the line itself is not kept. No other line is written,
# no process is started (but for `date`, once recording was paused), the exit status stays what it
# was, and if anything is missing nothing happens. A line that begins with a space is not written,
# and nothing is in a private session.

status is-interactive; and not set -q _qi_learn_loaded; or exit 0
set -g _qi_learn_loaded 1
set -g _qi_learn_from
set -g _qi_learn_list /
set -g _qi_learn_listed
set -g _qi_learn_pause
test / -ot / 2>/dev/null
set -g _qi_learn_older (test $status = 1; and echo -- -ot; or echo =) # "=" is never so

# --- from qi_learn/capture/command_kind.py, by scripts/hook_patterns ---
set -g _qi_learn_heads cargo go pytest py.test hyperfine asv npm pnpm yarn bun make kubectl \
    docker terraform vercel helm flyctl fly netlify serverless ansible-playbook twine gcloud cap \
    tox nox unittest doctest deno ctest jest vitest mocha playwright rspec rake rails phpunit \
    gradle gradlew mvn mvnw dotnet bazel mix swift zig stack cabal sbt just meson py_compile \
    compileall tsc mypy pyright basedpyright ty cmake ninja gcc g++ clang clang++ cc c++ rustc \
    javac kotlinc swiftc ghc nvcc ruff flake8 pylint eslint
set -g _qi_learn_wrappers env time nice nohup sudo xvfb-run exec run npx bunx uvx uv pipx poetry \
    pdm hatch pipenv rye bundle coverage
# --- end ---
for head in $_qi_learn_heads
    set -g _qi_learn_at_(string escape --style=var -- $head) 1
end
set -g _qi_learn_any (string join '|' (string escape --style=regex -- $_qi_learn_heads))
# a line of ours: not hidden, not of several lines, with one of the words in it
set _qi_learn_any "^(?=\S[^\n]*\z)(?:.*[\s;|&/=])?(?:$_qi_learn_any)"
# a line of one command that begins with a plain word; what may stand before a word of ours
set -g _qi_learn_named '^(?<_qi_learn_head>[A-Za-z][A-Za-z0-9]*)(?: +[A-Za-z0-9_./:@%+,=-]+)*\\z'
for word in $_qi_learn_wrappers python python2 python3 pypy pypy3 pythonw
    set -g _qi_learn_before_(string escape --style=var -- $word)
end
set -g _qi_learn_head
# what a line runs, but what cannot end it
set -g _qi_learn_run '(?:^|[;|&])\s*(?:(?:time|[A-Za-z_]\w*=\S*)\s+)*'
set _qi_learn_run $_qi_learn_run'(?!(?:cd|clear|date|echo|false|git|ls|sleep|true)(?:[\s;|&]|$))'
set _qi_learn_run $_qi_learn_run'(?<words>[A-Za-z0-9_.:@%+,-]+)'
set -g _qi_learn_begin '{"v":1,"kind":"outcome","source":"fish","author":"person",'
set -g _qi_learn_rest '"line":"%s","code":%d,"seconds":%s%s}}\n'

# No command substitution below: each costs as much as fifteen other steps. Each step counts, so
# what a line of one command needs is in few of them: a match sets several variables at once.

# --- what is outside: project, spool ---

# Set _qi_learn_list, _qi_learn_spool and _qi_learn_pause to where the projects are listed, the
# events go, and a pause is told.
function _qi_learn_find
    set -l data $HOME/.local/share/qi-learn
    set -l state $HOME/.local/state/qi-learn
    if test -d "$HOME/Library/Application Support/qi-learn"
        set data "$HOME/Library/Application Support/qi-learn"
        set state $data
    end
    test -z "$XDG_DATA_HOME"; or set data $XDG_DATA_HOME/qi-learn
    test -z "$XDG_STATE_HOME"; or set state $XDG_STATE_HOME/qi-learn
    if test -n "$QI_LEARN_HOME"
        set data (string replace -r -- '^~' $HOME $QI_LEARN_HOME)/data
        set state (string replace -r -- '^~' $HOME $QI_LEARN_HOME)/state
    end
    set -g _qi_learn_list $data/projects.json
    set -g _qi_learn_spool $state/spool
    set -g _qi_learn_pause $state/pause.json
end

# What is known of a directory holds until the list, the directory or the places change.
function _qi_learn_stale --on-variable PWD --on-variable HOME --on-variable QI_LEARN_HOME \
        --on-variable XDG_DATA_HOME --on-variable XDG_STATE_HOME
    set -e _qi_learn_real
end

# Whether the working directory, without links or as it is written, is in a registered project that
# a line can be written for now: then _qi_learn_place is the spool, and _qi_learn_form the line for
# the innermost one.
function _qi_learn_project
    set -l text
    test -r $_qi_learn_list; and read -z text <$_qi_learn_list
    if not test "$text" = "$_qi_learn_listed" -a -d "$_qi_learn_real"
        _qi_learn_find
        test -r $_qi_learn_list; or return 1
        read -z text <$_qi_learn_list
        _qi_learn_look $text
    end
    test -w "$_qi_learn_place"; or return 1
    not test -e $_qi_learn_pause; or not _qi_learn_paused
end

# Look for the project in the list. Where the line is, is kept as it stands in the file.
function _qi_learn_look
    set -g _qi_learn_place ''
    set -g _qi_learn_real (builtin pwd -P); or return 1
    set -g _qi_learn_listed $argv[1]
    set -l found ''
    set -l unescaped
    set -l listed (string replace -rf -- '^\s*"(.*)",?$' '$1' <$_qi_learn_list)
    set listed (string replace -a -- '\\"' '"' $listed)
    if string match -qr -- '\\\\u' $listed # of version 0.1
        for held in $listed
            string match -qr -- '\\\\u' $held; and set held (printf '%b' $held)
            set -a unescaped $held
        end
        set listed $unescaped
    end
    set listed (string replace -a -- '\\\\' '\\' $listed)
    for pattern in (string escape --style=regex -- $listed)
        set -l held $listed[1]
        set -e listed[1]
        string match -qr -- "^$pattern/" $_qi_learn_real/ $PWD/; or continue
        test (string length -- $held) -gt (string length -- "$found"); and set found $held
    end
    test -n "$found"; or return 1
    set -g _qi_learn_place $_qi_learn_spool
    set -l place '"project":"'(_qi_learn_escaped $found)'","body":{"cwd":"'
    set place $place(_qi_learn_escaped $_qi_learn_real)'",'
    set place (string replace -a -- '\\' '\\\\' $place | string replace -a -- % %%)
    set -g _qi_learn_form $_qi_learn_begin$place$_qi_learn_rest
end

# Print a text as it stands within a JSON string.
function _qi_learn_escaped
    set -l text (string replace -a -- '"' '\\"' (string replace -a -- '\\' '\\\\' $argv[1]))
    if string match -qr -- '[\x01-\x1f]' $text
        for code in 0{1,2,3,4,5,6,7,8,9,a,b,c,d,e,f} 1{0,1,2,3,4,5,6,7,8,9,a,b,c,d,e,f}
            set text (string replace -ar -- "\\x$code" "\\\\u00$code" $text)
        end
    end
    printf '%s' $text
end

# Whether a pause (`qi-learn pause`) holds now. One that has no end, or cannot be read, does. fish
# has no clock, so this starts a process: only while there is a file of pauses.
function _qi_learn_paused
    set -l line ''
    set -l until ''
    test -r $_qi_learn_pause; and read line <$_qi_learn_pause
    string match -rq -- '^\{"until": (?<until>\d+),' "$line"; or return 0
    test $until -gt (command date +%s)
end

# Write down the line $argv[1] as it stands in JSON, that ended with $argv[2], and what else is
# known of it, in a file of its own (0600), whose time is the event's: fish has no clock. The number
# in its name is chance and a count, so it cannot come again. What is known of the project holds if
# the list of projects is older than the file that was written last.
function _qi_learn_record
    set -q _qi_learn_units[1]; or _qi_learn_count
    test "$_qi_learn_list" $_qi_learn_older "$_qi_learn_last" -a -r "$_qi_learn_list" \
        -a ! -e "$_qi_learn_pause" -a -d "$_qi_learn_real" -a -w "$_qi_learn_place"
    or _qi_learn_project
    or return 0
    set -g _qi_learn_last $_qi_learn_place/$_qi_learn_chance$_qi_learn_tens[1]$_qi_learn_units[1].jsonl
    set -l mask $umask
    set umask 0077
    printf $_qi_learn_form $argv[1..2] $CMD_DURATION"e-3" $argv[3] >>$_qi_learn_last
    set umask $mask
    set -e _qi_learn_units[1]
end

# Set what the next file's name is made of.
function _qi_learn_count
    set -l digits 0 1 2 3 4 5 6 7 8 9
    set -g _qi_learn_units $digits$digits
    set -g _qi_learn_last '' # and what is known of the projects is looked at again
    set -e _qi_learn_tens[1]
    if test -z "$_qi_learn_tens[1]"
        set -g _qi_learn_tens $digits$digits
        set -g _qi_learn_chance fish-$fish_pid-(random 1000000000 999999999999999)
    end
end

# --- what is known of a line ---

# Write down a line that is no single command of plain words: $argv are its exit codes, its own and
# those of the last pipeline.
function _qi_learn_ended -a line code
    set -l more ''
    set -l words
    set -l named ''
    set -q argv[4]; and set more ",\"pipes\":\"$argv[3..]\""
    test $PWD = $_qi_learn_from; or set more "$more,\"moved\":1"
    string match -raq -- $_qi_learn_run $line
    for word in $words
        functions -q -- $word; and set named "$named $word"
    end
    test -z $named; or set more "$more,\"functions\":\"$named\""
    string match -qr -- '[\\\\"\x01-\x1f]' $line; and set line (_qi_learn_escaped $line)
    _qi_learn_record $line $code $more
end

# --- when ---

function _qi_learn_preexec --on-event fish_preexec
    set -g _qi_learn_from $PWD
end

# Every function for this event gets $status and $pipestatus as the line left them. Most lines are
# one command and not of ours, and done with in four steps.
function _qi_learn_postexec --on-event fish_postexec
    set -l codes $status $pipestatus
    if string match -rq -- $_qi_learn_named $argv[1]
        if set -q _qi_learn_at_$_qi_learn_head
            set -q fish_private_mode; and return
            contains -- $codes[1] 145 146 147 148 149 150; and return
            functions -q -- $_qi_learn_head; and return
            _qi_learn_record $argv[1] $codes[1] ''
            return
        end
        set -q _qi_learn_before_$_qi_learn_head; or return
    end
    string match -qr -- $_qi_learn_any $argv[1]; or return
    set -q fish_private_mode; or _qi_learn_ended $argv[1] $codes 2>/dev/null
end
