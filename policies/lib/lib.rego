# Typed access to the input. Rego orders values of different types (any string is greater than any
# number), so a mistyped field could turn a refusal into a pass; these functions are undefined for a
# value of another type, which leaves the member without an answer and fails the run.
package qnsp.lib

number(value) := value if is_number(value)

text(value) := value if is_string(value)

flag(value) := value if is_boolean(value)

# A list of texts.
texts(value) := value if {
	is_array(value)
	every item in value {
		is_string(item)
	}
}

# What stands in `wanted` and not in `given`, sorted.
missing(wanted, given) := sort([item | some item in wanted; not item in given]) if {
	texts(wanted)
	texts(given)
}

# How a rule refuses a member.
refusal(index, path, args) := {"index": index, "path": path, "args": args}
