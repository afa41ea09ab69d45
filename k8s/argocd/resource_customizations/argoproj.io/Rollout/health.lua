-- The health of Rollouts (Argo Rollouts 1.0 and later), for Argo CD, which asks this in place of its own check. The status is
-- always Argo CD's own; of a Rollout labelled plimsoll.dev/model-name, the message says beside the controller's words which model
-- it is, how far its canary is, and what the analysis said. The base functions and `table` are all there is in Argo CD's sandbox,
-- and no field is taken for granted: a script that fails makes the whole application Unknown.

local function get(object, ...)
  for _, key in ipairs({ ... }) do object = type(object) == "table" and object[key] or nil end
  return object
end
local function typed(kind, default, value) return type(value) == kind and value or default end
local function text(...) return typed("string", "", get(...)) end
local function number(...) return typed("number", 0, get(...)) end
local function list(...) return typed("table", {}, get(...)) end
local function joined(left, right) return left .. ((left == "" or right == "") and "" or ": ") .. right end

local STATUSES = { Healthy = "Healthy", Progressing = "Progressing", Degraded = "Degraded", Paused = "Suspended" }

-- Whether the controller has seen the present specification: a generation is a number where it is set, and a text where it is
-- observed. What is larger than the generation, or no number, is a hash of a version before 0.10.
local function is_observed()
  if get(obj, "status") == nil then return false end
  local generation, observed = number(obj, "metadata", "generation"), tonumber(get(obj, "status", "observedGeneration"))
  if observed and observed < generation then return false end
  local annotations = get(obj, "metadata", "annotations")
  if get(obj, "spec", "workloadRef") == nil or annotations == nil then return true end
  local workload = tonumber(get(annotations, "rollout.argoproj.io/workload-generation"))
  return workload == tonumber(get(obj, "status", "workloadObservedGeneration"))
end

local function of_any_rollout()
  if not is_observed() then return "Progressing", "Waiting for rollout spec update to be observed" end
  local status = STATUSES[text(obj, "status", "phase")]
  if not status then return "Progressing", "Waiting for rollout to finish: status has not been reconciled." end
  return status, typed("string", nil, get(obj, "status", "message"))
end

local labels = get(obj, "metadata", "labels")
local model, version = text(labels, "plimsoll.dev/model-name"), text(labels, "plimsoll.dev/model-version")
local title = model .. (version == "" and "" or " ") .. version

-- How far the canary is, or nothing if none is under way.
local function canary()
  local steps, index = list(obj, "spec", "strategy", "canary", "steps"), get(obj, "status", "currentStepIndex")
  if type(index) ~= "number" or index >= #steps then return "" end
  local weight = get(obj, "status", "canary", "weights", "canary", "weight")
  local share = type(weight) == "number" and " at " .. weight .. " %" or ""
  return ", canary" .. share .. ", step " .. index + 1 .. "/" .. #steps
end

-- What an analysis that did not pass has to say.
local function analysis()
  for _, run in ipairs({ "currentStepAnalysisRunStatus", "currentBackgroundAnalysisRunStatus" }) do
    local status = text(obj, "status", "canary", run, "status")
    if status == "Failed" or status == "Error" or status == "Inconclusive" then
      return "analysis " .. joined(status, text(obj, "status", "canary", run, "message"))
    end
  end
  return ""
end

local function of_model_rollout()
  local status, message = of_any_rollout()
  local words = message or ""
  if status ~= "Healthy" and is_observed() then
    -- The controller's words have those of the analysis in them once it has given up.
    words = status == "Degraded" and words or joined(words, analysis())
  end
  local wanted = typed("number", number(obj, "status", "replicas"), get(obj, "spec", "replicas"))
  local count = title .. ": ready " .. number(obj, "status", "availableReplicas") .. "/" .. wanted
  if get(obj, "status", "abort") == true and status == "Degraded" then
    return status, joined(count .. ", aborted, the version before serves on", words)
  end
  return status, joined(count .. (status == "Healthy" and "" or canary()), words)
end

local ok, status, message = pcall(model ~= "" and of_model_rollout or of_any_rollout)
if not ok then return { status = "Unknown", message = "plimsoll's health.lua failed: " .. tostring(status) } end
return { status = status, message = message }
