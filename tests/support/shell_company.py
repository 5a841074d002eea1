"""What other tools put into a shell beside the hooks: small scripts of each one's pattern.

Written for these tests; the tools' own scripts can be tried as tests/capture/test_hook_company.py
says.
"""

from __future__ import annotations

FIRST_COMMAND_ONLY = r"""
eval "w_terms=($(trap -p DEBUG))"; w_theirs=${w_terms[2]-}; w_ready=0; w_seen=0
w_debug() { if [[ $w_ready == 1 ]]; then w_ready=0; w_seen=$((w_seen + 1)); eval "$w_theirs"; fi; }
trap 'w_debug "$_"' DEBUG
w_old=${PROMPT_COMMAND-}
w_give() { return $1; }
w_prompt() {
    w_status=$?; w_give $w_status; for w in "${w_old[@]}"; do eval "${w:-}"; done; w_ready=1
}
PROMPT_COMMAND=w_prompt
"""
"""An editor's terminal (VS Code): its DEBUG trap gives the one before it only the first command of
a line, and the old prompt commands run within a function of its own.
"""
LAYERED = r"""
s_trap="$(trap -p DEBUG | cut -d' ' -f3 | tr -d \')"; s_times=0
s_preexec() {
    local last=$1; [ "$s_ready" = true ] && s_ready=false && s_times=$((s_times + 1)); : "$last"
}
s_all() { local last=$1; $s_trap; s_preexec "$last"; : "$last"; }
if [[ -z $s_trap ]]; then trap 's_preexec "$_"' DEBUG; else trap 's_all "$_"' DEBUG; fi
s_precmd() {
    local status=$? pipes="${PIPESTATUS[*]}"; true | false; PS1="[$(echo $status)] "; s_ready=true
}
PROMPT_COMMAND="${PROMPT_COMMAND:+${PROMPT_COMMAND%;};}s_precmd;"
"""
"""A prompt (starship): a DEBUG trap that calls the one before it, and a prompt command behind."""
IN_FRONT = r"""
d_hook() { local before=$?; trap -- '' SIGINT; eval "$(echo :)"; trap - SIGINT; return $before; }
PROMPT_COMMAND="d_hook${PROMPT_COMMAND:+;$PROMPT_COMMAND}"
"""
"""direnv: a prompt command in front that gives the status back."""
HISTORY_SHARED = r"""
shopt -s histappend; HISTFILE=$HOME/history
PROMPT_COMMAND="history -a; history -c; history -r; ${PROMPT_COMMAND-}"
"""
"""One history for all terminals, and a status that is lost on the way."""
FUNCTIONS = r"""
__bp_imported=defined; preexec_functions+=(a_preexec); precmd_functions+=(a_precmd); a_seen=
a_preexec() { a_id=$(echo "$1"); a_seen+="<$1>"; }
a_precmd() { local code=$?; (true &); a_id=; }
__bp_give() { return $1; }
__bp_precmd_invoke_cmd() {
    __bp_last=$? BP_PIPESTATUS=("${PIPESTATUS[@]}"); local f
    for f in "${precmd_functions[@]}"; do __bp_give "$__bp_last"; "$f"; done
}
__bp_interactive_mode() { __bp_on=on; }
__bp_exec() {
    [[ -n ${__bp_on-} ]] || return
    __bp_on=
    [[ ! $BASH_COMMAND =~ ^(__bp_|_qi_learn_precmd|_qi_learn_chain) ]] || return
    local f line; line=$(HISTTIMEFORMAT= builtin history 1 | sed '1 s/^ *[0-9][0-9]*[* ] //')
    for f in "${preexec_functions[@]}"; do "$f" "$line"; done
}
__bp_install() {
    trap '__bp_exec "$_"' DEBUG
    PROMPT_COMMAND=$'__bp_precmd_invoke_cmd\n'"${PROMPT_COMMAND//__bp_install/:}"
    PROMPT_COMMAND+=$'\n__bp_interactive_mode'
    __bp_interactive_mode
}
PROMPT_COMMAND="${PROMPT_COMMAND:+$PROMPT_COMMAND;}__bp_install"
"""
"""bash-preexec with functions of atuin's pattern, installed at the first prompt."""
BASH = {
    "first_command_only": FIRST_COMMAND_ONLY,
    "layered": LAYERED,
    "in_front": IN_FRONT,
    "history_shared": HISTORY_SHARED,
    "functions": FUNCTIONS,
}

ZSH = {
    "in_front": r"""
d_hook() { trap -- '' SIGINT; eval "$(echo :)"; trap - SIGINT; }
typeset -ag precmd_functions; precmd_functions=(d_hook $precmd_functions)
""",
    "functions": r"""
autoload -Uz add-zsh-hook
a_preexec() { a_id=$(echo "$1"); }
a_precmd() { local code=$?; true | false | true; (true &); a_id=; }
add-zsh-hook preexec a_preexec; add-zsh-hook precmd a_precmd
precmd() { false; }
""",
    "framework": r"""
setopt auto_cd auto_pushd share_history hist_ignore_space hist_ignore_dups hist_verify prompt_subst
setopt extended_history hist_expire_dups_first interactive_comments long_list_jobs multios
HISTFILE=$HOME/history HISTSIZE=1000 SAVEHIST=1000
alias -g L='| cat'; alias _='sudo '; alias pip='noglob pip'
""",
}
"""direnv and a prompt; atuin; a framework (oh-my-zsh) with its options and aliases."""

FISH = {
    "in_front": r"""
function d_hook --on-event fish_prompt; true | false; end
function d_exec --on-event fish_preexec; echo : | source; end
function fish_prompt; set -l code $status; echo -n "[$code]> "; end
""",
    "functions": r"""
function a_preexec --on-event fish_preexec; set -g a_id (echo $argv); end
function a_postexec --on-event fish_postexec; set -l code $status; true | false; set -g a_id; end
""",
}
COMPANY = {"bash": BASH, "zsh": ZSH, "fish": FISH}
