// Command agent plays an agent's host: it starts a Model Context Protocol
// server, does the steps that it reads from standard input, and prints what an
// agent would see. scripts/demo.sh shows a session with it, and it is a small
// example of a client.
//
//	go run ./scripts/agent submit mcp --work-dir ./project <<'STEPS'
//	list
//	grep {"pattern": "fuel", "recursive": true, "path": ["."]}
//	STEPS
//
// A step is "list", or a tool's name and its arguments as JSON.
package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "agent: which server? write: agent COMMAND [ARGS...], and steps on standard input")
		os.Exit(2)
	}
	server := exec.Command(os.Args[1], os.Args[2:]...)
	server.Stderr = os.Stderr
	if err := run(context.Background(), server, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
}

// run does the steps over one connection.
func run(ctx context.Context, server *exec.Cmd, steps io.Reader, out io.Writer) error {
	client := sdk.NewClient(&sdk.Implementation{Name: "agent", Version: "1"}, nil)
	session, err := client.Connect(ctx, &sdk.CommandTransport{Command: server}, nil)
	if err != nil {
		return err
	}
	defer session.Close()
	lines := bufio.NewScanner(steps)
	for lines.Scan() {
		tool, args, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		switch tool {
		case "":
			continue
		case "list":
			err = list(ctx, session, out)
		default:
			err = call(ctx, session, out, tool, args)
		}
		if err != nil {
			return err
		}
	}
	return lines.Err()
}

func list(ctx context.Context, session *sdk.ClientSession, out io.Writer) error {
	fmt.Fprintln(out, "> tools/list")
	for tool, err := range session.Tools(ctx, nil) {
		if err != nil {
			return err
		}
		first, _, _ := strings.Cut(tool.Description, ". ")
		fmt.Fprintf(out, "  %-16s %s\n", tool.Name, strings.TrimSuffix(first, "."))
	}
	return nil
}

// call prints a call's answer as an agent reads it: its text, and whether the
// call failed.
func call(ctx context.Context, session *sdk.ClientSession, out io.Writer, tool, args string) error {
	fmt.Fprintf(out, "> %s %s\n", tool, args)
	answer, err := session.CallTool(ctx, &sdk.CallToolParams{Name: tool, Arguments: json.RawMessage(cmp.Or(args, "{}"))})
	if err != nil {
		return err
	}
	if answer.IsError {
		fmt.Fprintln(out, "  (an error)")
	}
	for _, c := range answer.Content {
		switch c := c.(type) {
		case *sdk.TextContent:
			for line := range strings.Lines(strings.TrimSuffix(c.Text, "\n")) {
				fmt.Fprintf(out, "  %s\n", strings.TrimSuffix(line, "\n"))
			}
		case *sdk.ResourceLink:
			fmt.Fprintf(out, "  resource %s\n", c.URI)
		}
	}
	return nil
}
