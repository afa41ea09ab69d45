-- The health of Deployments, for Argo CD, which asks this in place of its own check, for every Deployment of the cluster:
-- `of_any_deployment` answers as Argo CD itself would, and `of_model_deployment`, for one labelled plimsoll.dev/model-name,
-- says how many Pods are ready, and what the model is doing or why it is not there, as far as that is reported to the
-- Deployment (components/status-reporting/deployment). The base functions and `table` are all there is in Argo CD's sandbox,
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

local desired = typed("number", nil, get(obj, "spec", "replicas"))
local replicas, updated = number(obj, "status", "replicas"), number(obj, "status", "updatedReplicas")
local available = number(obj, "status", "availableReplicas")

local function condition(kind)
  for _, item in ipairs(list(obj, "status", "conditions")) do
    if text(item, "type") == kind then return item end
  end
end
local progressing = condition("Progressing")
local is_paused = get(obj, "spec", "paused") == true
local is_observed = number(obj, "metadata", "generation") <= number(obj, "status", "observedGeneration")
local has_timed_out = text(progressing, "reason") == "ProgressDeadlineExceeded"

local function of_any_deployment()
  local waiting = "Waiting for rollout to finish: "
  if is_paused then return "Suspended", "Deployment is paused" end
  if not is_observed then
    return "Progressing", waiting .. "observed deployment generation less than desired generation"
  end
  if has_timed_out then
    return "Degraded", 'Deployment "' .. text(obj, "metadata", "name") .. '" exceeded its progress deadline'
  end
  if desired and updated < desired then
    return "Progressing", waiting .. updated .. " out of " .. desired .. " new replicas have been updated..."
  elseif replicas > updated then
    return "Progressing", waiting .. replicas - updated .. " old replicas are pending termination..."
  elseif available < updated then
    return "Progressing", waiting .. available .. " of " .. updated .. " updated replicas are available..."
  end
  return "Healthy", nil
end

local labels = get(obj, "metadata", "labels")
local model, version = text(labels, "plimsoll.dev/model-name"), text(labels, "plimsoll.dev/model-version")
local title = model .. (version == "" and "" or " ") .. version

-- What the sidecar says will not mend itself: the fetch failed for good or too often, or what is there is not the model.
local FAULTS = {
  FetchFailed = true, FileNotInPlace = true, OtherModel = true, ReceiptInconsistent = true, ReceiptMissing = true,
  SmokeFailed = true,
}

-- A condition outlives the Pods that wrote it. It speaks of the present rollout if the ReplicaSet of whoever wrote it is the
-- one that the Deployment's controller has in hand: a script cannot look into a text, but it can tell whether two are equal.
local function is_present()
  local set, said = text(condition("plimsoll.dev/ModelReplicaSet"), "message"), text(progressing, "message")
  local quoted = '"' .. set .. '"'
  for _, words in ipairs({
    "Created new replica set " .. quoted, "Found new replica set " .. quoted, "ReplicaSet " .. quoted .. " is progressing.",
    "ReplicaSet " .. quoted .. " has successfully progressed.", "ReplicaSet " .. quoted .. " has timed out progressing.",
  }) do
    if said == words then return true end
  end
end

-- What was said of a Pod whose model is not loaded, and whether that is a fault.
local function reported()
  local report = condition("plimsoll.dev/ModelReady")
  if text(report, "status") ~= "False" or not is_present() then return "", false end
  return text(report, "message"), FAULTS[text(report, "reason")]
end

local function of_model_deployment()
  local status, message = of_any_deployment()
  if is_paused then return status, title .. ": paused" end
  if not is_observed then return status, title .. ": waiting for the controller" end

  local refused = condition("ReplicaFailure")
  local words, is_fault = reported()
  local wanted = desired or updated
  local count = title .. ": ready " .. available .. "/" .. wanted
  -- Of the Pods that are ready in a rollout, some are of the model before.
  local is_rollout = updated < wanted or replicas > updated
  if is_rollout and replicas > 0 then
    count = title .. ": rolling out " .. updated .. "/" .. wanted .. ", ready " .. available .. " with those before"
  end
  if status == "Healthy" then return status, count end
  if text(refused, "status") == "True" then
    return "Degraded", joined(count .. ", the cluster refuses Pods", text(refused, "message"))
  end
  if has_timed_out then
    local seconds = number(obj, "spec", "progressDeadlineSeconds")
    return status, joined(count .. ", not loaded within the progress deadline of " .. seconds .. " s", words)
  end
  if is_fault then return "Degraded", joined(count, words) end
  -- Once a rollout is complete, its reason stays until the next: what is not there now was there before.
  local was_serving = text(progressing, "reason") == "NewReplicaSetAvailable"
  if was_serving and not is_rollout and available == 0 then
    return "Degraded", joined(count .. ", was serving before", words)
  end
  return status, joined(count, words)
end

local ok, status, message = pcall(model ~= "" and of_model_deployment or of_any_deployment)
if not ok then return { status = "Unknown", message = "plimsoll's health.lua failed: " .. tostring(status) } end
return { status = status, message = message }
