-- The health of Pods, for Argo CD, which asks this in place of its own check, for every Pod of the cluster: `of_any_pod` answers
-- as Argo CD itself would, and `of_model_pod`, for a Pod labelled plimsoll.dev/model-name, says what its model is doing or why it
-- is not there. The base functions and `table` are all there is in Argo CD's sandbox, and no field is taken for granted: a script
-- that fails makes the whole application Unknown.

-- Reasons to wait that Argo CD calls errors, beside all that begin with "Err"; and those that it overlooks.
local ERRORS = {
  ConfigPodSandboxError = true, CrashLoopBackOff = true, CreateContainerConfigError = true, CreateContainerError = true,
  CreatePodSandboxError = true, ImageInspectError = true, ImagePullBackOff = true, KillContainerError = true,
  KillPodSandboxError = true, PostStartHookError = true, PreCreateHookError = true, PreStartHookError = true,
  RemoveContainerError = true, ResizePodInPlaceError = true, RunContainerError = true,
}
local OVERLOOKED_ERRORS = { InvalidImageName = true, RegistryUnavailable = true, SignatureValidationFailed = true }

local FETCHERS = { fetcher = true, ["storage-initializer"] = true }
-- The fetcher's exit codes.
local CAUSES = {
  [64] = "wrong configuration", [65] = "a checksum, size or signature is wrong", [66] = "model, version or file not found",
  [69] = "registry or store unreachable", [70] = "internal error", [73] = "not enough space on the volume",
  [74] = "cannot read or write the volume", [75] = "interrupted", [77] = "access denied by the registry or store",
}
-- Another attempt does not help against these; the others count as a failure after so many attempts.
local FINAL = { [64] = true, [65] = true, [66] = true, [73] = true, [77] = true }
local PATIENT_ATTEMPTS = 3
-- What the sidecar may say of a fetched model and waiting does not help against.
local FAULTS = { FileNotInPlace = true, OtherModel = true, ReceiptInconsistent = true, ReceiptMissing = true, SmokeFailed = true }

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
-- The first answer to a question about each item of these lists.
local function first(question, ...)
  for _, items in ipairs({ ... }) do
    for _, item in ipairs(items) do
      local answer, message = question(item)
      if answer then return answer, message end
    end
  end
end

local phase, pod_message = text(obj, "status", "phase"), text(obj, "status", "message")
local policy = text(obj, "spec", "restartPolicy")
local conditions = list(obj, "status", "conditions")
local init_containers = list(obj, "status", "initContainerStatuses")
local containers = list(obj, "status", "containerStatuses")

local function ready(condition) return text(condition, "type") == "Ready" and condition end
-- What the sidecar wrote down, where it may, of a model that is not loaded.
local function not_loaded(condition)
  local is_said = text(condition, "type") == "plimsoll.dev/ModelReady" and text(condition, "status") == "False"
  return is_said and text(condition, "message") ~= "" and condition
end
local report = first(not_loaded, conditions)
local function reason_to_wait(container) return text(container, "state", "waiting", "reason") end
local function is_error(reason) return ERRORS[reason] or starts_with(reason, "Err") end
local function ended(container) return get(container, "state", "terminated") end
local function ended_before(container) return get(container, "lastState", "terminated") end
local function is_out_of_memory(ending) return text(ending, "reason") == "OOMKilled" end

local function of_any_pod()
  local errors = {}
  for _, container in ipairs(containers) do
    if policy == "Always" and is_error(reason_to_wait(container)) then
      table.insert(errors, text(container, "state", "waiting", "message"))
    end
  end
  if #errors > 0 then return "Degraded", table.concat(errors, ", ") end
  if phase == "Pending" then return "Progressing", pod_message end
  if phase == "Succeeded" then return "Healthy", pod_message end
  if phase == "Failed" and pod_message == "" then
    return "Degraded", first(function(container)
      local ending, code = ended(container), number(container, "state", "terminated", "exitCode")
      if text(ending, "message") ~= "" then return text(ending, "message") end
      if is_out_of_memory(ending) then return "OOMKilled" end
      return code ~= 0 and 'container "' .. text(container, "name") .. '" failed with exit code ' .. code
    end, init_containers, containers) or ""
  end
  if phase == "Failed" then return "Degraded", pod_message end
  if phase == "Running" and policy == "Always" then
    if text(first(ready, conditions), "status") == "True" then return "Healthy", pod_message end
    return first(ended_before, containers) and "Degraded" or "Progressing", pod_message
  end
  return phase == "Running" and (policy == "OnFailure" or policy == "Never") and "Progressing" or "Unknown", pod_message
end

local labels = get(obj, "metadata", "labels")
local model, version = text(labels, "plimsoll.dev/model-name"), text(labels, "plimsoll.dev/model-version")
local title = model .. (version == "" and "" or " ") .. version
-- The fetcher's own lines begin with the model already.
local function is_titled(words) return starts_with(words, title .. ":") or starts_with(words, title .. " ") end
local function titled(words) return is_titled(words) and words or title .. ": " .. words end

local function has_failed(ending) return number(ending, "exitCode") ~= 0 or is_out_of_memory(ending) end
local function cause(container, ending)
  local name, code, message = text(container, "name"), number(ending, "exitCode"), text(ending, "message")
  if is_out_of_memory(ending) then return titled(name .. " was killed: out of memory") end
  if message ~= "" then return titled((FETCHERS[name] or is_titled(message)) and message or joined(name, message)) end
  if not ending then return titled(name .. " keeps crashing") end
  return titled(joined(name .. " ended with exit code " .. code, FETCHERS[name] and CAUSES[code] or ""))
end
local function cause_and_restarts(container, ending)
  local restarts, is_running = number(container, "restartCount"), get(container, "state", "running")
  if restarts == 0 then return cause(container, ending) end
  return cause(container, ending) .. " (restarts: " .. restarts .. (is_running and ", loading again)" or ")")
end
-- Since when a Pod is not ready that was, with this container, once.
local function not_ready_since(container)
  local since = text(first(ready, conditions), "lastTransitionTime")
  local started = text(container, "state", "running", "startedAt")
  return started ~= "" and since > started and since
end

-- What the parts of a Pod that has not ended say: a status and a message, or nothing.
local function of_unscheduled(condition)
  if text(condition, "type") ~= "PodScheduled" or text(condition, "status") ~= "False" then return nil end
  return "Progressing", titled(joined("waiting for a node", text(condition, "message")))
end
local function of_blocked(container)
  local name, reason = text(container, "name"), reason_to_wait(container)
  if reason == "CrashLoopBackOff" then
    return not FETCHERS[name] and "Degraded", cause_and_restarts(container, ended_before(container))
  end
  if not is_error(reason) and not OVERLOOKED_ERRORS[reason] then return nil end
  return "Degraded", titled(name .. " cannot start: " .. joined(reason, text(container, "state", "waiting", "message")))
end
local function of_fetcher(container)
  if not FETCHERS[text(container, "name")] then return nil end
  local attempt, is_running = number(container, "restartCount") + 1, get(container, "state", "running")
  local ending = ended(container) or ended_before(container)
  local is_final = FINAL[number(ending, "exitCode")] or is_out_of_memory(ending)
  if is_running and is_final then
    return "Degraded", cause(container, ending) .. " (attempt " .. attempt - 1 .. " failed, fetching again)"
  elseif is_running then
    local counted = "fetching" .. (attempt > 1 and " (attempt " .. attempt .. ")" or "")
    return "Progressing", titled(text(report, "reason") == "Fetching" and text(report, "message") or counted)
  elseif is_final then
    return "Degraded", cause(container, ending)
  elseif has_failed(ending) then
    local status = attempt > PATIENT_ATTEMPTS and "Degraded" or "Progressing"
    return status, cause(container, ending) .. " (attempt " .. attempt .. " failed, retrying)"
  end
end
local function of_ended(container)
  local ending = ended(container) or ended_before(container)
  local is_failure = (has_failed(ending) or policy == "Always" and ending) and not not_ready_since(container)
  return is_failure and "Degraded", cause_and_restarts(container, ending)
end
local function of_running(container)
  if get(container, "state", "running") == nil then return nil end
  if policy ~= "Always" then return "Progressing", titled("running") end
  local since = not_ready_since(container)
  local loading = report and text(report, "message") or "loading into server"
  local before = "not ready since " .. (since or "") .. ", was serving before"
  if since then return "Degraded", titled(joined(before, report and loading or "")) end
  return FAULTS[text(report, "reason")] and "Degraded" or "Progressing", titled(loading)
end
local STEPS = {
  { of_unscheduled, conditions }, { of_blocked, init_containers, containers }, { of_fetcher, init_containers },
  { of_ended, containers }, { of_running, containers },
}

local function has_fetched(container) return FETCHERS[text(container, "name")] and ended(container) end
local function of_failed(container) return has_failed(ended(container)) and cause(container, ended(container)) end
local function of_failed_fetcher(container) return FETCHERS[text(container, "name")] and of_failed(container) end
local function of_result(container)
  return is_titled(text(ended(container), "message")) and text(ended(container), "message")
end

local function of_model_pod()
  local status = of_any_pod()
  if phase == "Pending" or phase == "Running" then
    if status == "Healthy" then return status, titled("serving") end
    for _, step in ipairs(STEPS) do
      local found, message = first(unpack(step))
      -- A Pod that runs to an end may be a sync hook, which Argo CD must not give up before that end.
      if found then return policy == "Always" and found or status, message end
    end
    return status, titled(first(has_fetched, init_containers) and "fetched, starting the server" or "starting")
  end
  if pod_message ~= "" then return status, titled(joined(text(obj, "status", "reason"), pod_message)) end
  if phase == "Succeeded" then return status, first(of_result, containers) or titled("completed") end
  if phase ~= "Failed" then return status, titled("the Pod's node does not report") end
  local failed = first(of_failed_fetcher, init_containers) or first(of_failed, containers, init_containers)
  return status, failed or titled("failed")
end

local ok, status, message = pcall(model ~= "" and of_model_pod or of_any_pod)
if not ok then return { status = "Unknown", message = "plimsoll's health.lua failed: " .. tostring(status) } end
return { status = status, message = message }
