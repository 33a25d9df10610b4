package schemas

import "embed"

//go:embed json/*.json
var jsonSchemas embed.FS

// JSONSchema is the JSON Schema (2020-12) of a topic's events, by the topic's
// name. The decoder is the stricter of the two where a schema has no words for
// a rule: names that stand twice, limits in bytes, times, numbers in strings.
func JSONSchema(name string) ([]byte, bool) {
	text, err := jsonSchemas.ReadFile("json/" + name + ".json")
	return text, err == nil
}
