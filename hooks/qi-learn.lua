-- qi-learn hook for Neovim 0.9 and newer: which completions of the model you took.
--
-- Load it from ~/.config/nvim/plugin/qi-learn.lua:   dofile("/path/to/qi-learn.lua")
-- `qi-learn hooks install nvim` does that.
--
-- A plug-in that completes as you type shows its text as virtual text. This file remembers what is
-- shown at the cursor, and if that text, or the beginning of it, stands in the buffer at once, it
-- was taken. It is told with the file, and by SHA-256 alone: of the text, and of the line around
-- it. No text of yours is written. If the text goes again within a minute, that is told too. That
-- a text was shown and not taken is no sign of anything, and not told.
--
-- Told are minuet-ai.nvim's virtual text and llama.vim's. What codecompanion.nvim and avante.nvim
-- change by their tools, and what you declined, they say themselves with their next request.
--
-- One line of JSON is appended to this process's own file in the spool (0600), of files in projects
-- that are registered with `qi-learn init`, and not in a pause. No process is started, and if
-- anything is missing nothing happens. `:QiRate 1..5` and `:QiMark kept|edited|rejected|ignore` say
-- what you think of the last answer.

if vim.g.qi_learn_loaded or vim.fn.has("nvim-0.9") == 0 then
  return
end
vim.g.qi_learn_loaded = true

local api, uv = vim.api, vim.uv or vim.loop
local NAMESPACES = { ["minuet.virtualtext"] = "minuet", ["vt_fim"] = "llama.vim" }
local SHORTEST = 3 -- bytes that stand there at once from which on they were not typed
local LARGEST = 8 * 1024 * 1024 -- bytes of a file, then another is begun
local UNDONE = 60 -- seconds in which what was taken may be undone
local FULL, READ = 384, 438 -- 0600, 0666

-- --- what is outside: projects, pause, spool ---

-- Where the projects are listed, the events go and a pause is told.
local function places()
  local home, env = uv.os_homedir() or "", vim.env
  local own = env.QI_LEARN_HOME
  if own and own ~= "" then
    own = own:gsub("^~", home)
    return own .. "/data/projects.json", own .. "/state/spool", own .. "/state/pause.json"
  end
  local data, state = home .. "/.local/share", home .. "/.local/state"
  if uv.os_uname().sysname == "Darwin" then
    data = home .. "/Library/Application Support"
    state = data
  end
  if env.XDG_DATA_HOME and env.XDG_DATA_HOME ~= "" then
    data = env.XDG_DATA_HOME
  end
  if env.XDG_STATE_HOME and env.XDG_STATE_HOME ~= "" then
    state = env.XDG_STATE_HOME
  end
  state = state .. "/qi-learn"
  return data .. "/qi-learn/projects.json", state .. "/spool", state .. "/pause.json"
end

-- The text of a file; nil if it cannot be read.
local function read(path)
  local fd = uv.fs_open(path, "r", READ)
  if not fd then
    return nil
  end
  local status = uv.fs_fstat(fd)
  local text = status and uv.fs_read(fd, status.size, 0)
  uv.fs_close(fd)
  return text
end

-- The registered project that holds a file, the innermost one; nil if there is none.
local function project_of(file, list)
  local known, projects = pcall(vim.json.decode, read(list) or "")
  local real = uv.fs_realpath(file) or file
  local found
  for _, project in ipairs(known and type(projects) == "table" and projects or {}) do
    local inside = type(project) == "string" and vim.startswith(real .. "/", project .. "/")
    if inside and (not found or #project > #found) then
      found = project
    end
  end
  return found
end

-- Whether a pause holds. One that has no end, or cannot be read, does.
local function paused(file, now)
  if not uv.fs_lstat(file) then
    return false
  end
  local ends = (read(file) or ""):match('^{"until": (%d+),')
  return not ends or tonumber(ends) > now
end

local own_file

-- Append a line to this process's own file; another one if that is gone, or full.
local function append(spool, line, seconds, micros)
  local there = own_file and uv.fs_stat(own_file)
  if not there or there.size >= LARGEST or not vim.startswith(own_file, spool .. "/") then
    own_file = ("%s/nvim-%d-%d%06d000.jsonl"):format(spool, uv.os_getpid(), seconds, micros)
  end
  local fd = uv.fs_open(own_file, "a", FULL)
  if fd then
    uv.fs_write(fd, line .. "\n", -1)
    uv.fs_close(fd)
  end
end

-- Tell an event of a file, or of the working directory; whether that was possible.
local function tell(kind, file, body)
  local list, spool, pause = places()
  local seconds, micros = uv.gettimeofday()
  local project = project_of(file, list)
  if not project or paused(pause, seconds) or not uv.fs_access(spool, "W") then
    return false
  end
  local at = os.date("!%Y-%m-%dT%H:%M:%S", seconds)
  local line = vim.json.encode({
    v = 1,
    ts = ("%s.%03dZ"):format(at, math.floor(micros / 1000)),
    kind = kind,
    source = "nvim",
    author = "person",
    project = project,
    body = body,
  })
  append(spool, line, seconds, micros)
  return true
end

-- --- what is shown, and what became of it ---

local spaces = {}
for name, by in pairs(NAMESPACES) do
  spaces[api.nvim_create_namespace(name)] = by
end

local shown -- what stood at the cursor as virtual text when the screen was drawn last
local taken -- what was taken last

-- The text of an extmark's line: of several pieces the first, the others are notes.
local function first_piece(pieces)
  return pieces and pieces[1] and pieces[1][1] or ""
end

-- The nearest line above a row that has text, without white space at its ends.
local function above(buf, row)
  for start = row - 1, math.max(0, row - 50), -1 do
    local line = vim.trim(api.nvim_buf_get_lines(buf, start, start + 1, false)[1] or "")
    if line ~= "" then
      return line
    end
  end
  return ""
end

-- Remember what a plug-in shows in a buffer.
local function look(buf)
  for space, by in pairs(spaces) do
    local row, col, lines
    local marks = api.nvim_buf_get_extmarks(buf, space, 0, -1, { details = true })
    for _, mark in ipairs(marks) do
      if mark[4].virt_text then
        row, col, lines = mark[2], mark[3], { first_piece(mark[4].virt_text) }
      end
    end
    for _, mark in ipairs(row and marks or {}) do
      for _, pieces in ipairs(mark[4].virt_lines or {}) do
        lines[#lines + 1] = first_piece(pieces)
      end
    end
    if row then
      local line = api.nvim_buf_get_lines(buf, row, row + 1, false)[1] or ""
      shown = {
        buf = buf,
        row = row,
        lead = line:sub(1, col),
        trail = line:sub(col + 1),
        count = api.nvim_buf_line_count(buf),
        text = table.concat(lines, "\n"),
        by = by,
      }
      return
    end
  end
end

-- What stands now where nothing stood when a text was shown; nil if its neighbours changed too.
local function put_in(one)
  local more = api.nvim_buf_line_count(one.buf) - one.count
  if more < 0 then
    return nil
  end
  local lines = api.nvim_buf_get_lines(one.buf, one.row, one.row + more + 1, false)
  local text = table.concat(lines, "\n")
  if not vim.startswith(text, one.lead) then
    return nil
  end
  text = text:sub(#one.lead + 1)
  if one.trail ~= "" and vim.endswith(text, one.trail) then
    text = text:sub(1, #text - #one.trail)
  end
  return text
end

local function say(said, one)
  local file = api.nvim_buf_get_name(one.buf)
  if file == "" or vim.bo[one.buf].buftype ~= "" then
    return
  end
  tell("sign", file, {
    said = said,
    file = uv.fs_realpath(file) or file,
    text = vim.fn.sha256(one.put),
    bytes = #one.put,
    lead = vim.fn.sha256(one.lead),
    above = vim.fn.sha256(above(one.buf, one.row)),
    by = one.by,
  })
end

-- Whether what was taken is gone again, and nothing else is there.
local function is_undone(buf)
  if not taken or taken.buf ~= buf or os.time() - taken.at > UNDONE then
    return false
  end
  local line = api.nvim_buf_get_lines(buf, taken.row, taken.row + 1, false)[1]
  return api.nvim_buf_line_count(buf) == taken.count and line == taken.lead .. taken.trail
end

local function on_change(buf)
  if is_undone(buf) then
    say("declined", taken)
    taken = nil
  end
  if not shown or shown.buf ~= buf then
    return
  end
  local put = put_in(shown)
  if put == "" then
    return
  end
  local one = shown
  if not put or not vim.startswith(one.text, put) then
    shown = nil
  elseif #put >= SHORTEST then
    shown, taken = nil, one
    one.put, one.at = put, os.time()
    say("accepted", one)
  end
end

-- --- when ---

api.nvim_set_decoration_provider(api.nvim_create_namespace("qi-learn"), {
  on_win = function(_, window, buf)
    if window == api.nvim_get_current_win() and api.nvim_get_mode().mode:find("^[iR]") then
      pcall(look, buf)
    end
    return false
  end,
})
local group = api.nvim_create_augroup("qi-learn", { clear = true })
api.nvim_create_autocmd({ "TextChanged", "TextChangedI", "TextChangedP" }, {
  group = group,
  callback = function(event)
    if shown or taken then
      pcall(on_change, event.buf)
    end
  end,
})
api.nvim_create_autocmd("BufUnload", {
  group = group,
  callback = function(event)
    shown = shown and shown.buf ~= event.buf and shown or nil
    taken = taken and taken.buf ~= event.buf and taken or nil
  end,
})

-- --- what the person says ---

local function say_of_last(body, word)
  local file = api.nvim_buf_get_name(0)
  body.turn = "last"
  if tell("rating", file ~= "" and file or uv.cwd(), body) then
    api.nvim_echo({ { "qi-learn: the last answer: " .. word } }, false, {})
  else
    vim.notify("qi-learn: no registered project here, or a pause", vim.log.levels.WARN)
  end
end

api.nvim_create_user_command("QiRate", function(given)
  local stars = given.args:match("^[1-5]$")
  if stars then
    say_of_last({ rating = tonumber(stars) }, stars .. " of 5")
  else
    vim.notify("qi-learn: a rating is a whole number from 1 to 5", vim.log.levels.ERROR)
  end
end, { nargs = 1, desc = "Rate the model's last answer, 1 to 5" })

local WORDS = { "kept", "edited", "rejected", "ignore" }
api.nvim_create_user_command("QiMark", function(given)
  if vim.tbl_contains(WORDS, given.args) then
    say_of_last({ mark = given.args }, given.args)
  else
    local known = table.concat(WORDS, ", ")
    vim.notify("qi-learn: a mark is one of " .. known, vim.log.levels.ERROR)
  end
end, {
  nargs = 1,
  complete = function()
    return WORDS
  end,
  desc = "Say what became of the model's last answer",
})
