"""What clients say of an edit in their next request, in their own words as they are published."""

from __future__ import annotations

from scripts.benchmarks.labelling.endpoints import Said

CLAUDE: dict[Said, str] = {
    "applied": "The file {whole} has been updated. Here's the result of running `cat -n` on a "
    "snippet of the edited file:\n{shown}",
    "failed": "<tool_use_error>String to replace not found in file.</tool_use_error>",
    "declined": "The user doesn't want to proceed with this tool use. The tool use was rejected "
    "(eg. if it was a file edit, the new_string was NOT written to the file). STOP what you are "
    "doing and wait for the user to tell you how to proceed.",
}
CODEX: dict[Said, str] = {
    "applied": '{{"output":"Success. Updated the following files:\\nM {path}\\n","metadata":'
    '{{"exit_code":0,"duration_seconds":0.1}}}}',
    "failed": "apply_patch verification failed: Failed to find expected lines in {whole}",
    "declined": "patch rejected by user",
}
OPENCODE: dict[Said, str] = {
    "applied": "Edit applied successfully.",
    "failed": "Error: oldString not found in content",
    "declined": "The user rejected permission to use this specific tool call with the following "
    "feedback: not so",
}
QWEN: dict[Said, str] = {
    "applied": "Successfully modified file: {whole} (1 replacements).",
    "failed": "Failed to edit, could not find the string to replace.",
    "declined": "[Operation Cancelled] Reason: User did not allow tool call",
}
OPENHANDS: dict[Said, str] = {
    "applied": "The file {whole} has been edited. Here's the result of running `cat -n` on a "
    "snippet of {whole}:\n{shown}\nReview the changes and make sure they are as expected.",
    "failed": "ERROR:\nNo replacement was performed, old_str `it` did not appear verbatim in "
    "{whole}.",
    "declined": "Action has been rejected by the user.",
}
GOOSE: dict[Said, str] = {
    "applied": "The file {whole} has been edited, and the section now reads:\n{shown}",
    "failed": "-32602: Invalid params: 'old_str' must appear exactly once in the file, but it does "
    "not appear in the file.",
    "declined": "The user has declined to run this tool. DO NOT attempt to call this tool again.",
}
COPILOT: dict[Said, str] = {
    "applied": "The following files were successfully edited:\n{whole}",
    "failed": "ERROR: Could not find matching text to replace in {whole}.",
    "declined": "The user chose to skip the tool call, they want to proceed without running it.",
}
CONTINUE: dict[Said, str] = {
    "applied": "Successfully edited {path}",
    "failed": "string not found in file: it",
    "declined": "This tool call was cancelled by the user. You should clarify next steps, as they "
    "don't wish for you to use this tool.",
}
CLINE: dict[Said, str] = {
    "applied": "[replace_in_file for '{path}'] Result:\nThe content was successfully saved to "
    "{path}.",
    "failed": "[replace_in_file for '{path}'] Result:\nThe tool execution failed with the "
    "following error:\n<error>\nThe SEARCH block: it does not match anything in the file.\n"
    "</error>",
    "declined": "[replace_in_file for '{path}'] Result:\nThe user denied this operation.",
}
SHELL: dict[Said, str] = {
    "applied": "",
    "failed": "bash: {path}: Permission denied\nExit code 1",
    "declined": "The user rejected permission to use this specific tool call with the following "
    "feedback: not so",
}
