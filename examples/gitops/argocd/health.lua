-- Health of a Broker or a Stream for Argo CD, by kstatus' rules: what is said of an older generation says nothing of
-- this one, Stalled needs somebody's help, and Ready alone is healthy.
local function verdict(status, message)
  return { status = status, message = message }
end

if obj.metadata.deletionTimestamp ~= nil then
  return verdict("Progressing", "It is being deleted.")
end

local status = obj.status or {}
if status.observedGeneration ~= nil and status.observedGeneration ~= obj.metadata.generation then
  return verdict("Progressing", "The operator has not looked at this generation yet.")
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local stalled, reconciling, ready = conditions.Stalled, conditions.Reconciling, conditions.Ready
if reconciling ~= nil and reconciling.status == "True" then
  return verdict("Progressing", reconciling.message)
end
if stalled ~= nil and stalled.status == "True" then
  return verdict("Degraded", stalled.message)
end
if ready ~= nil and ready.status == "True" then
  return verdict("Healthy", ready.message)
end
if ready ~= nil then
  return verdict("Progressing", ready.message)
end
return verdict("Progressing", "The operator has not said anything yet.")
