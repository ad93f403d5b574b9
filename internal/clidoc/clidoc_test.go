package clidoc

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func program() *cobra.Command {
	root := &cobra.Command{Use: "tool", Short: "Do things"}
	root.PersistentFlags().Bool("quiet", false, "say less")
	sub := &cobra.Command{
		Use: "make NAME", Short: "HTTP things are made", Long: ".TH looks like a request\n\n  kept\n  as it \\is", Run: func(*cobra.Command, []string) {},
		Example: "  tool make 'a'",
	}
	sub.Flags().IntP("number", "n", 3, "how many\n.SH no heading")
	sub.Flags().String("secret", "", "")
	_ = sub.Flags().MarkHidden("secret")
	root.AddCommand(sub, &cobra.Command{Use: "ghost", Hidden: true, Run: sub.Run}, Command(Notes{}))
	return root
}

func TestPages(t *testing.T) {
	t.Parallel()
	pages := Pages(program(), Notes{
		Sections: []Section{{Title: "EXIT STATUS", Lines: []string{"0\tall is well", "That is all."}}},
		Env: func(flag string) string {
			if flag == "quiet" {
				return "TOOL_QUIET"
			}
			return ""
		},
		SeeAlso: []string{"other(1)"},
	})
	if len(pages) != 2 || pages[0].File != "tool.1" || pages[1].File != "tool-make.1" {
		t.Fatalf("%+v", pages)
	}
	for text, page := range map[string]string{
		".SH NAME\ntool \\- do things\n":                                                        pages[0].Text,
		"\\fBtool\\-make\\fR(1)\nHTTP things are made\n":                                        pages[0].Text,
		".SH \"EXIT STATUS\"\n.TP\n\\fB0\\fR\nall is well\n.PP\nThat":                           pages[0].Text,
		".SH SEE ALSO\nother(1)\n":                                                              pages[0].Text,
		"tool\\-make \\- HTTP things":                                                           pages[1].Text,
		"\\&.TH looks like a request\n":                                                         pages[1].Text,
		".nf\n  kept\n  as it \\eis\n.fi\n":                                                     pages[1].Text,
		"\\fB\\-n\\fR, \\fB\\-\\-number\\fR=\\fIINT\\fR\nhow many .SH no heading (default 3)\n": pages[1].Text,
		"say less [\\fB$TOOL_QUIET\\fR]\n":                                                      pages[1].Text,
		"SEE ALSO\ntool(1)\n":                                                                   pages[1].Text,
	} {
		if !strings.Contains(page, text) {
			t.Errorf("%q is not in\n%s", text, page)
		}
	}
	if strings.Contains(pages[0].Text+pages[1].Text, "ghost") || strings.Contains(pages[1].Text, "secret") {
		t.Error("what is hidden is shown")
	}
}

func command(n *Node, name string) *Node {
	for _, c := range n.Commands {
		if c.Name == name {
			return c
		}
	}
	return &Node{}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	call := func(args ...string) (string, error) {
		root := program()
		root.SilenceUsage, root.SilenceErrors = true, true
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetArgs(append([]string{"manual"}, args...))
		err := root.Execute()
		return out.String(), err
	}
	text, err := call("--json")
	var n Node
	if err != nil || json.Unmarshal([]byte(text), &n) != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	makes := command(&n, "make")
	if n.Runnable || !makes.Runnable || makes.Name != "make" || len(makes.Inherited) != 1 || makes.Flags[len(makes.Flags)-1].Type != "int" {
		t.Errorf("%s", text)
	}
	dir := t.TempDir() + "/man"
	if _, err := call("--man", dir); err != nil {
		t.Fatal(err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) < 2 {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := call(); err == nil || !strings.Contains(err.Error(), "--man DIR") {
		t.Errorf("without a flag: %v", err)
	}
	if _, err := call("--man", "/proc/none/man"); err == nil || !strings.Contains(err.Error(), "/proc/none") {
		t.Errorf("a directory that cannot be made: %v", err)
	}
}
