package configs

import (
	"fmt"
	"strings"
)

// Reference describes every key, table by table, in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString("# Configuration\n\nThe configuration is a TOML file. Relative paths in it start at its own directory.\n" +
		"`mipsecd check` reports all errors of a file at once.\n")
	table := "-"
	for _, k := range Keys() {
		if t, _ := split(k.Name); t != table {
			table = t
			title := "Top level"
			if t != "" {
				title = "`[" + t + "]`"
			}
			fmt.Fprintf(&b, "\n## %s\n\n| key | takes | default | meaning |\n|---|---|---|---|\n", title)
		}
		_, name := split(k.Name)
		value, def := k.Value, "`"+k.Default+"`"
		switch {
		case k.Required:
			def = "required"
		case k.Default == "":
			def = ""
		}
		if k.Role != 0 {
			value += " (" + k.Role.String() + " only)"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, cell(value), cell(def), cell(k.Meaning))
	}
	return b.String()
}

func split(key string) (table, name string) {
	i := strings.LastIndexByte(key, '.')
	return key[:max(i, 0)], key[i+1:]
}

// cell keeps a text from ending its cell.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
