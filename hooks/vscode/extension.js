// qi-learn hook for VS Code: which completions of the model you took, and what you think of them.
//
// No extension is told whether another one's completion was accepted. But what is accepted comes
// into the document as one change. So each change that puts in several letters at once is told, by
// SHA-256 alone: of what was put in, of the line in front of it and of the line above. The daemon
// knows the completions that the model made, and which of them was asked for at that place; of all
// else that is put in (a paste, a name from a list) nothing can be known by that, and nothing is
// kept. What is undone within a minute is told, too.
//
// One line of JSON is appended to this process's own file in the spool (0600), of files in projects
// that are registered with `qi-learn init`, and not in a pause. Nothing goes over a network, no
// process is started, and if anything is missing nothing happens.
"use strict";

const crypto = require("crypto");
const fs = require("fs");
const os = require("os");
const path = require("path");
const vscode = require("vscode");

const SHORTEST = 4; // bytes that come in one change from which on they were not typed
const LONGEST = 20000; // bytes of a completion at most
const LARGEST = 8 * 1024 * 1024; // bytes of a file, then another is begun
const UNDONE = 60000; // milliseconds in which what was put in may be undone
const REMEMBERED = 20; // of the last that was put in
const UNDO = 1;
const REDO = 2;

// --- what is outside: projects, pause, spool ---

function places() {
  const own = vscode.workspace.getConfiguration("qiLearn").get("home") || process.env.QI_LEARN_HOME;
  if (own) {
    const root = own.replace(/^~(?=$|\/)/, os.homedir());
    return { data: path.join(root, "data"), state: path.join(root, "state") };
  }
  const mac = path.join(os.homedir(), "Library", "Application Support");
  const [data, state] =
    process.platform === "darwin"
      ? [mac, mac]
      : [path.join(os.homedir(), ".local/share"), path.join(os.homedir(), ".local/state")];
  return {
    data: path.join(process.env.XDG_DATA_HOME || data, "qi-learn"),
    state: path.join(process.env.XDG_STATE_HOME || state, "qi-learn"),
  };
}

function realOf(file) {
  try {
    return fs.realpathSync(file);
  } catch {
    return file;
  }
}

// The registered project that holds a file, the innermost one; undefined if there is none.
function projectOf(file, data) {
  const listed = JSON.parse(fs.readFileSync(path.join(data, "projects.json"), "utf8"));
  const holding = listed.filter((project) => `${file}/`.startsWith(`${project}/`));
  return holding.sort((one, other) => other.length - one.length)[0];
}

// Whether a pause holds. One that has no end, or cannot be read, does.
function isPaused(file) {
  let text;
  try {
    text = fs.readFileSync(file, "utf8");
  } catch (error) {
    return error.code !== "ENOENT";
  }
  const ends = /^\{"until": (\d+),/.exec(text);
  return ends === null || Number(ends[1]) * 1000 > Date.now();
}

let ownFile;

// Append a line to this process's own file; another one if that is gone, or full.
function append(spool, line) {
  let size = LARGEST;
  try {
    size = ownFile && path.dirname(ownFile) === spool ? fs.statSync(ownFile).size : LARGEST;
  } catch {
    // the daemon has taken it
  }
  if (size >= LARGEST) {
    ownFile = path.join(spool, `vscode-${process.pid}-${Date.now()}000000.jsonl`);
  }
  fs.appendFileSync(ownFile, `${line}\n`, { mode: 0o600 });
}

// Tell an event of a file; whether that was possible.
function tell(kind, file, body) {
  try {
    const { data, state } = places();
    const spool = path.join(state, "spool");
    const project = projectOf(file, data);
    if (project === undefined || isPaused(path.join(state, "pause.json"))) return false;
    if (!fs.statSync(spool).isDirectory()) return false;
    const ts = new Date().toISOString();
    const event = { v: 1, ts, kind, source: "vscode", author: "person", project, body };
    append(spool, JSON.stringify(event));
    return true;
  } catch {
    return false; // no project, no spool, no room: the editor goes on
  }
}

// --- what was put in, and what became of it ---

let seen; // the line at the cursor, as it was before the next change
const put = []; // what was put in last, the newest first

const hash = (text) => crypto.createHash("sha256").update(text, "utf8").digest("hex");

// The nearest line above one that has text, without white space at its ends.
function above(document, line) {
  for (let number = line - 1; number >= Math.max(0, line - 50); number--) {
    const text = document.lineAt(number).text.trim();
    if (text) return text;
  }
  return "";
}

// How many letters two texts begin with alike.
function alike(one, other) {
  let count = 0;
  while (count < Math.min(one.length, other.length) && one[count] === other[count]) count++;
  return count;
}

// What a change put in at once, and the line in front of it: a completion may be told with letters
// before and behind it that stood there already.
function putIn(document, change) {
  const { start, end } = change.range;
  const uri = document.uri.toString();
  const here = seen !== undefined && seen.uri === uri && seen.line === start.line;
  const known = here && start.line === end.line;
  if (!known && change.rangeLength > 0) return undefined;
  const old = known ? seen.text.slice(start.character, end.character) : "";
  let text = change.text.replace(/\r\n/g, "\n");
  const head = alike(old, text);
  text = text.slice(head);
  const rest = old.slice(head);
  if (rest && text.endsWith(rest)) text = text.slice(0, -rest.length);
  else if (rest) return undefined; // something else was replaced
  const lead = document.lineAt(start.line).text.slice(0, start.character + head);
  return { text, lead, line: start.line, character: start.character };
}

function say(said, one) {
  tell("sign", one.file, {
    said,
    file: one.file,
    text: hash(one.text),
    bytes: Buffer.byteLength(one.text),
    lead: hash(one.lead),
    above: hash(one.above),
    by: "vscode",
  });
}

function onPut(document, change) {
  const found = putIn(document, change);
  const size = found === undefined ? 0 : Buffer.byteLength(found.text);
  if (size < SHORTEST || size > LONGEST || !found.text.trim()) return;
  const file = realOf(document.uri.fsPath);
  const one = { ...found, file, above: above(document, found.line), at: Date.now(), gone: false };
  one.size = change.text.length;
  put.unshift(one);
  put.length = Math.min(put.length, REMEMBERED);
  say("accepted", one);
}

// Whether a change takes out, or puts in again, what was put in: where it stands, as long as it is.
function onUndo(document, change, gone) {
  const file = realOf(document.uri.fsPath);
  const one = put.find(
    (each) =>
      each.file === file &&
      each.gone !== gone &&
      each.line === change.range.start.line &&
      each.character === change.range.start.character &&
      each.size === (gone ? change.rangeLength : change.text.length) &&
      Date.now() - each.at < UNDONE,
  );
  if (one === undefined) return;
  one.gone = gone;
  say(gone ? "declined" : "accepted", one);
}

function onChange(event) {
  const { document, contentChanges, reason } = event;
  if (document.uri.scheme !== "file") return;
  if (contentChanges.length === 1) {
    const [change] = contentChanges;
    if (reason === UNDO || reason === REDO) onUndo(document, change, reason === UNDO);
    else onPut(document, change);
  }
  remember(vscode.window.activeTextEditor);
}

// Remember the line at the cursor as it is now.
function remember(editor) {
  if (editor === undefined || editor.document.uri.scheme !== "file") return;
  const line = editor.selection.active.line;
  if (line >= editor.document.lineCount) return;
  const uri = editor.document.uri.toString();
  seen = { uri, line, text: editor.document.lineAt(line).text };
}

// --- what the person says ---

function sayOfLast(body, words) {
  const editor = vscode.window.activeTextEditor;
  const [folder] = vscode.workspace.workspaceFolders || [];
  const open = editor !== undefined && editor.document.uri.scheme === "file";
  const place = open ? editor.document.uri : folder && folder.uri;
  if (place !== undefined && tell("rating", realOf(place.fsPath), { turn: "last", ...body })) {
    vscode.window.setStatusBarMessage(`qi-learn: the last answer: ${words}`, 5000);
  } else {
    vscode.window.showWarningMessage("qi-learn: no registered project here, or a pause.");
  }
}

async function rate() {
  const stars = await vscode.window.showQuickPick(["5", "4", "3", "2", "1"], {
    title: "Rate the last answer: 1 is useless, 5 is as you wanted it",
  });
  if (stars !== undefined) sayOfLast({ rating: Number(stars) }, `${stars} of 5`);
}

async function mark() {
  const word = await vscode.window.showQuickPick(["kept", "edited", "rejected", "ignore"], {
    title: "What became of the last answer?",
  });
  if (word !== undefined) sayOfLast({ mark: word }, word);
}

// An error of ours must not reach the editor.
function quietly(act) {
  return (value) => {
    try {
      act(value);
    } catch {
      // what was seen is not told
    }
  };
}

function activate(context) {
  context.subscriptions.push(
    vscode.workspace.onDidChangeTextDocument(quietly(onChange)),
    vscode.window.onDidChangeTextEditorSelection(quietly((event) => remember(event.textEditor))),
    vscode.window.onDidChangeActiveTextEditor(quietly(remember)),
    vscode.commands.registerCommand("qiLearn.rate", rate),
    vscode.commands.registerCommand("qiLearn.mark", mark),
  );
  quietly(remember)(vscode.window.activeTextEditor);
}

module.exports = { activate };
