-- The health of Applications that an application is made of, for Argo CD, which has no check of its own for them. Sync waves of
-- Applications need one: a wave waits for the health of the one before. One labelled app.kubernetes.io/part-of: plimsoll
-- is Degraded too while its last sync has failed, and gives the words of the hook Pod or the object that failed: with
-- components/preflight these say why a model was not rolled out. The base functions and `table` are all there is in
-- Argo CD's sandbox, and no field is taken for granted: a script that fails makes the whole application Unknown.

local function get(object, ...)
  for _, key in ipairs({ ... }) do object = type(object) == "table" and object[key] or nil end
  return object
end
local function typed(kind, default, value) return type(value) == kind and value or default end
local function text(...) return typed("string", "", get(...)) end
local function list(...) return typed("table", {}, get(...)) end
local function joined(left, right) return left .. ((left == "" or right == "") and "" or ": ") .. right end

local STATUSES = {
  Healthy = true, Progressing = true, Degraded = true, Suspended = true, Missing = true, Unknown = true,
}

-- As Argo CD's documentation has it.
local function of_any_application()
  local status = text(obj, "status", "health", "status")
  if not STATUSES[status] then return "Progressing", "" end
  return status, text(obj, "status", "health", "message")
end

local function has_failed(phase) return phase == "Failed" or phase == "Error" end

local function of_model_application()
  local status, message = of_any_application()
  local sync = get(obj, "status", "operationState")
  if not has_failed(text(sync, "phase")) or text(obj, "status", "sync", "status") == "Synced" then
    return status, message
  end
  for _, result in ipairs(list(sync, "syncResult", "resources")) do
    local failed = has_failed(text(result, "hookPhase")) or text(result, "status") == "SyncFailed"
    if failed and text(result, "message") ~= "" then
      return "Degraded", joined("not synced: " .. text(result, "kind") .. " " .. text(result, "name"), text(result, "message"))
    end
  end
  return "Degraded", joined("not synced", text(sync, "message"))
end

local is_ours = text(obj, "metadata", "labels", "app.kubernetes.io/part-of") == "plimsoll"
local ok, status, message = pcall(is_ours and of_model_application or of_any_application)
if not ok then return { status = "Unknown", message = "plimsoll's health.lua failed: " .. tostring(status) } end
return { status = status, message = message }
