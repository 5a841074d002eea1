// The extension for VS Code with a small `vscode` module of its own: documents are really changed,
// events are told as the extension host tells them. Reads steps (JSON) from standard input.
"use strict";

const fs = require("fs");
const Module = require("module");
const path = require("path");

const listeners = { change: [], selection: [], editor: [] };
const commands = {};
const said = [];
const { steps, file, home, extension } = JSON.parse(fs.readFileSync(0, "utf8"));
let picked;

const on = (name) => (listener) => {
  listeners[name].push(listener);
  return { dispose() {} };
};
const uri = { scheme: "file", fsPath: file, toString: () => `file://${file}` };
const document = {
  uri,
  lines: fs.readFileSync(file, "utf8").split("\n"),
  get lineCount() {
    return this.lines.length;
  },
  lineAt(number) {
    return { text: this.lines[number].replace(/\r$/, "") };
  },
};
const editor = { document, selection: { active: { line: 0, character: 0 } } };
const vscode = {
  window: {
    activeTextEditor: editor,
    onDidChangeTextEditorSelection: on("selection"),
    onDidChangeActiveTextEditor: on("editor"),
    setStatusBarMessage: (text) => said.push(text),
    showWarningMessage: (text) => said.push(text),
    showQuickPick: async (words) => (words.includes(picked) ? picked : undefined),
  },
  workspace: {
    workspaceFolders: [],
    onDidChangeTextDocument: on("change"),
    getConfiguration: () => ({ get: () => home }),
  },
  commands: {
    registerCommand(name, act) {
      commands[name] = act;
      return { dispose() {} };
    },
  },
};
const load = Module._load;
Module._load = (name, ...rest) => (name === "vscode" ? vscode : load(name, ...rest));

function moved(line, character) {
  editor.selection.active = { line, character };
  for (const tell of listeners.selection) tell({ textEditor: editor });
}

// Replace from one column of a line to another by a text, as one change.
function change({ line, from, to, text, lines = 0, reason, scheme }) {
  const text_before = document.lines.slice(line, line + lines + 1).join("\n");
  const last = text_before.length - document.lines[line + lines].length;
  const range = {
    start: { line, character: from },
    end: { line: line + lines, character: to },
  };
  const rangeLength = last + to - from;
  const now = text_before.slice(0, from) + text + text_before.slice(last + to);
  document.lines.splice(line, lines + 1, ...now.split("\n"));
  uri.scheme = scheme || "file";
  const contentChanges = [{ range, rangeLength, rangeOffset: 0, text }];
  for (const tell of listeners.change) tell({ document, contentChanges, reason });
  uri.scheme = "file";
}

async function main() {
  const subscriptions = [];
  require(path.resolve(extension)).activate({ subscriptions });
  for (const step of steps) {
    if (step.at) moved(...step.at);
    if (step.change) change(step.change);
    if (step.command) {
      picked = step.pick;
      await commands[step.command]();
    }
    if (step.remove) fs.rmSync(step.remove, { recursive: true });
  }
  process.stdout.write(JSON.stringify({ said, text: document.lines.join("\n") }));
}

main();
