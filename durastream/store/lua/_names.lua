-- Included: a list of workers as text, one a line, each of them once.
local function with_name(names, name)
  if names == '' then return name end
  if ('\n' .. names .. '\n'):find('\n' .. name .. '\n', 1, true) then return names end
  return names .. '\n' .. name
end
local function count_names(names)
  if names == '' then return 0 end
  return 1 + select(2, names:gsub('\n', ''))
end
