-- The health of KServe's InferenceServices, for Argo CD, which asks this in place of its own check: of one whose model does not
-- load, the message is KServe's `lastFailureInfo`, which has the last words of the container that fetches the model. The base
-- functions and `table` are all there is in Argo CD's sandbox, and no field is taken for granted: a script that fails makes the
-- whole application Unknown.

-- The fetcher's exit codes.
local CAUSES = {
  [64] = "wrong configuration", [65] = "a checksum, size or signature is wrong", [66] = "model, version or file not found",
  [69] = "registry or store unreachable", [70] = "internal error", [73] = "not enough space on the volume",
  [74] = "cannot read or write the volume", [75] = "interrupted", [77] = "access denied by the registry or store",
  [137] = "killed, most often for memory",
}
-- What KServe says of a model on its way.
local STATES = { Pending = "waiting for a Pod", Loading = "fetching", Standby = "standing by", Loaded = "loaded" }

local function get(object, ...)
  for _, key in ipairs({ ... }) do object = type(object) == "table" and object[key] or nil end
  return object
end
local function typed(kind, default, value) return type(value) == kind and value or default end
local function text(...) return typed("string", "", get(...)) end
local function number(...) return typed("number", 0, get(...)) end
local function list(...) return typed("table", {}, get(...)) end
local function joined(left, right) return left .. ((left == "" or right == "") and "" or ": ") .. right end
-- Strings compare byte by byte, and no text has a byte 255.
local function starts_with(words, prefix) return words >= prefix and words < prefix .. "\255" end

local labels, model_status = get(obj, "metadata", "labels"), get(obj, "status", "modelStatus")
local model, version = text(labels, "plimsoll.dev/model-name"), text(labels, "plimsoll.dev/model-version")
local title = model == "" and text(obj, "metadata", "name") or model .. (version == "" and "" or " ") .. version
-- The fetcher's own lines begin with the model already.
local function titled(words)
  local is_titled = starts_with(words, title .. ":") or starts_with(words, title .. " ")
  return (is_titled or title == "") and words or title .. ": " .. words
end

local function is_stopped(condition)
  return text(condition, "type") == "Stopped" and text(condition, "status") == "True"
end
-- The conditions that are not as they should be, in words. That it is not stopped is as it should be.
local function unmet()
  local all = {}
  for _, condition in ipairs(list(obj, "status", "conditions")) do
    local kind, status = text(condition, "type"), text(condition, "status")
    if kind ~= "Stopped" and status ~= "True" then
      local why = joined(text(condition, "reason"), text(condition, "message"))
      table.insert(all, joined(kind .. " is " .. (status == "" and "Unknown" or status), why))
    end
  end
  return table.concat(all, "; ")
end

local function failure()
  local info, code = get(model_status, "lastFailureInfo"), number(model_status, "lastFailureInfo", "exitCode")
  local message = text(info, "message")
  if message == "" and code ~= 0 then message = joined("ended with exit code " .. code, CAUSES[code] or "") end
  local place = text(info, "location")
  if message ~= "" and not starts_with(message, title) then message = joined(place, message) end
  return message == "" and joined(place, text(info, "reason")) or message
end

local function of_inference_service()
  if get(obj, "status") == nil then return "Progressing", titled("waiting for KServe to report") end
  local generation, observed = get(obj, "metadata", "generation"), get(obj, "status", "observedGeneration")
  if type(generation) == "number" and type(observed) == "number" and observed < generation then
    return "Progressing", titled("waiting for KServe to see the change")
  end
  for _, condition in ipairs(list(obj, "status", "conditions")) do
    if is_stopped(condition) then return "Suspended", titled("stopped") end
  end
  local transition, open = text(model_status, "transitionStatus"), unmet()
  if transition == "BlockedByFailedLoad" or transition == "InvalidSpec" then
    local cause = failure()
    return "Degraded", titled(cause ~= "" and cause or joined(transition, open))
  end
  local copies = number(model_status, "copies", "totalCopies")
  if transition == "InProgress" then
    local state = STATES[text(model_status, "states", "targetModelState")] or "in progress"
    return "Progressing", titled(joined(copies > 0 and state .. ", ready " .. copies or state, open))
  end
  if open ~= "" then return "Progressing", titled(open) end
  if #list(obj, "status", "conditions") == 0 then return "Progressing", titled("waiting for KServe to report") end
  return "Healthy", titled(copies > 0 and "serving, ready " .. copies or "serving")
end

local ok, status, message = pcall(of_inference_service)
if not ok then return { status = "Unknown", message = "plimsoll's health.lua failed: " .. tostring(status) } end
return { status = status, message = message }
