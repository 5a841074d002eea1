"""How an agent's tool answers for a call that was refused, in the words of the agents.

The same words are in what a hook is told, in the agent's own log and in its next request.
"""

CLAUDE_DECLINED = "The user doesn't want to proceed with this tool use"
"""How the result of a tool begins that the person did not allow.

Not "... to take this action right now": so end those that stood behind it, or were interrupted,
and nobody was asked about them.
"""
OPENCODE_REFUSED = "The user rejected permission to use this specific tool"
"""How the error of a tool begins that was not allowed: by the person, or by `opencode run`, which
refuses by itself what it would have to ask.
"""
OPENCODE_ANSWERED = f"{OPENCODE_REFUSED} call with the following feedback"
"""How it begins if the person said why."""
