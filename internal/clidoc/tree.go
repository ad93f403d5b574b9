package clidoc

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Node is a command with everything below it.
type Node struct {
	Name    string   `json:"name"`
	Aliases []string `json:"aliases,omitempty"`
	Use     string   `json:"use"`
	Short   string   `json:"short,omitempty"`
	Long    string   `json:"long,omitempty"`
	Example string   `json:"example,omitempty"`
	// Runnable is false for commands that only hold others: those take no
	// arguments of their own.
	Runnable bool `json:"runnable"`
	// Hidden ones work and are in no list.
	Hidden bool `json:"hidden,omitempty"`
	// Flags are the command's own; Inherited those of the commands above it.
	Flags     []Flag  `json:"flags,omitempty"`
	Inherited []Flag  `json:"inherited,omitempty"`
	Commands  []*Node `json:"commands,omitempty"`
}

// Flag is one option.
type Flag struct {
	Name      string `json:"name"`
	Shorthand string `json:"shorthand,omitempty"`
	// Type is pflag's word for the values: string, bool, int, duration, ...
	Type    string `json:"type"`
	Default string `json:"default,omitempty"`
	// Alone is set when the flag may stand without a value.
	Alone bool   `json:"alone,omitempty"`
	Usage string `json:"usage"`
}

// Describe reads a command and everything below it.
func Describe(c *cobra.Command) *Node {
	n := &Node{
		Name: c.Name(), Aliases: c.Aliases, Use: c.UseLine(), Short: c.Short, Long: c.Long, Example: c.Example, Hidden: c.Hidden,
		Runnable: c.Runnable() && (len(c.Commands()) == 0 || strings.Contains(c.Use, " ")),
	}
	c.InitDefaultHelpFlag()
	if c.Version != "" {
		c.InitDefaultVersionFlag()
	}
	n.Flags = flags(c.NonInheritedFlags())
	n.Inherited = flags(c.InheritedFlags())
	for _, sub := range c.Commands() {
		if sub.Name() != "help" {
			n.Commands = append(n.Commands, Describe(sub))
		}
	}
	return n
}

func flags(set *pflag.FlagSet) []Flag {
	var out []Flag
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		out = append(out, Flag{
			Name: f.Name, Shorthand: f.Shorthand, Type: f.Value.Type(), Default: shownDefault(f),
			Alone: f.NoOptDefVal != "", Usage: f.Usage,
		})
	})
	return out
}

// shownDefault is a default worth telling.
func shownDefault(f *pflag.Flag) string {
	if slices.Contains([]string{"", "false", "[]", "0"}, f.DefValue) {
		return ""
	}
	return f.DefValue
}
