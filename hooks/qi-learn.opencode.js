// qi-learn plug-in for OpenCode: what became of the edits and commands of its model, for the
// projects registered with `qi-learn init`.
//
// `qi-learn hooks install opencode` puts it into OpenCode's directory of plug-ins. It appends a line
// to the spool for each edit and command that ended, and for each session that has come to rest. It
// changes nothing, prints nothing and never throws: if anything is missing, nothing is written.
import { appendFileSync, lstatSync, readdirSync, readFileSync, realpathSync } from "node:fs"
import { homedir } from "node:os"
import { dirname, join } from "node:path"

const EDITS = ["edit", "write", "multiedit", "patch", "apply_patch"]
const MOST = 65536 // characters of an output; its report of tests stands at its end
const FILES = 1000 // where nothing takes them in, they must not fill the disk

function places() {
  const { QI_LEARN_HOME, XDG_DATA_HOME, XDG_STATE_HOME } = process.env
  const home = homedir()
  if (QI_LEARN_HOME) {
    const root = QI_LEARN_HOME.replace(/^~(?=\/|$)/, home)
    return { data: join(root, "data"), state: join(root, "state") }
  }
  if (process.platform === "darwin") {
    const support = join(home, "Library", "Application Support", "qi-learn")
    return { data: support, state: support }
  }
  return {
    data: join(XDG_DATA_HOME || join(home, ".local", "share"), "qi-learn"),
    state: join(XDG_STATE_HOME || join(home, ".local", "state"), "qi-learn"),
  }
}

function textOf(file) {
  try {
    return readFileSync(file, "utf8")
  } catch (error) {
    return error.code === "ENOENT" ? null : ""
  }
}

// Whether a pause (`qi-learn pause`) holds; one without an end, or unreadable, does.
function paused(state) {
  const told = textOf(join(state, "pause.json"))
  if (told === null) return false
  const until = /"until": ([^,}]*)/.exec(told)?.[1] ?? ""
  return !/^\d+$/.test(until) || Number(until) > Date.now() / 1000
}

function holding(projects, directory) {
  const found = projects.filter((path) => `${directory}/`.startsWith(`${path.replace(/\/$/, "")}/`))
  return found.sort((one, other) => other.length - one.length)[0]
}

// The registered project that holds a directory, also if that is in a linked working tree of git.
function projectOf(data, directory) {
  const projects = JSON.parse(readFileSync(join(data, "projects.json"), "utf8"))
  const found = holding(projects, directory)
  if (found) return found
  for (let top = directory; top !== dirname(top); top = dirname(top)) {
    const told = textOf(join(top, ".git"))
    if (told === null) continue
    if (!told || lstatSync(join(top, ".git")).isDirectory()) return undefined
    const main = /^gitdir: (\/.*)\/\.git\/worktrees\/[^/]+\s*$/.exec(told)?.[1]
    return main && holding(projects, main + directory.slice(top.length))
  }
  return undefined
}

let written = 0

// Append an event to a file of its own, whose name puts it behind the answer that it is about.
function tell(directory, body, time = Date.now()) {
  const { data, state } = places()
  const spool = join(state, "spool")
  if (paused(state)) return
  const project = projectOf(data, realpathSync(directory))
  if (!project) return
  if (readdirSync(spool).filter((name) => name.startsWith("opencode-")).length >= FILES) return
  const line = {
    v: 1,
    ts: new Date(time).toISOString(),
    kind: "hook",
    source: "opencode",
    author: "agent",
    project,
    body,
  }
  const start = `${Date.now()}${String(written++ % 1000000).padStart(6, "0")}`
  const file = join(spool, `opencode-${process.pid}-${start}.jsonl`)
  appendFileSync(file, `${JSON.stringify(line)}\n`, { mode: 0o600 })
}

// Whether a part tells of a call that has ended just now. OpenCode also writes parts of old calls
// again: if it prunes their outputs, or copies a session.
function isNews({ callID, state }, began, told) {
  const end = state?.time?.end
  if (state?.status !== "completed" && state?.status !== "error") return false
  if (state.time?.compacted || end < began) return false
  const key = `${callID} ${end}`
  if (told.has(key)) return false
  told.add(key)
  return true
}

// What is told of a call of a tool that has ended; undefined if it is neither edit nor command.
function ended(part, attended) {
  const state = part.state
  const told = { event: "tool", tool: part.tool, call: part.callID, status: state.status, attended }
  const error = state.error === undefined ? undefined : String(state.error).slice(0, MOST)
  if (EDITS.includes(part.tool)) return { ...told, error }
  if (part.tool !== "bash") return undefined
  return {
    ...told,
    error,
    command: state.input?.command,
    workdir: state.input?.workdir,
    exit: state.metadata?.exit,
    output: String(state.output ?? "").slice(-MOST),
    seconds: (state.time?.end - state.time?.start) / 1000 || 0,
  }
}

export const QiLearn = async ({ directory }) => {
  const attended = !process.argv.includes("run") // `opencode run` refuses by itself what is asked
  const began = Date.now()
  const known = new Set()
  const share = process.env.XDG_DATA_HOME || join(homedir(), ".local", "share")
  return {
    event: async ({ event }) => {
      try {
        if (event.type === "message.part.updated" && event.properties.part.type === "tool") {
          const { part } = event.properties
          const told = isNews(part, began, known) && ended(part, attended)
          if (told) tell(directory, { ...told, directory }, part.state.time?.end)
        } else if (event.type === "session.idle") {
          tell(directory, { event: "idle", log: join(share, "opencode"), directory })
        }
      } catch {
        // no spool, no list of projects, a full disk: OpenCode is not to notice
      }
    },
  }
}
