package submitcli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"boxfleet/jobs"
)

func (a *app) deadCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "dlq", Short: "Look at dead letters: messages that could not be run", Args: cobra.ArbitraryArgs, RunE: needCommand}
	cmd.AddCommand(&cobra.Command{
		Use: "list", Short: "List dead letters, oldest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.deadList(cmd.Context()) },
	}, &cobra.Command{
		Use: "show SEQ", Short: "Print one dead letter with its message", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.deadShow(cmd.Context(), args[0]) },
	})
	return cmd
}

func (a *app) deadList(ctx context.Context) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	list := []*jobs.DeadLetter{}
	for d, err := range client.DeadLetters(ctx) {
		if err != nil {
			return err
		}
		d.Message = nil // shown one at a time
		list = append(list, d)
	}
	if a.globals.json {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		a.remark("no dead letters")
		return nil
	}
	rows := [][]string{{"SEQ", "WHEN", "JOB", "TOOL", "ATTEMPT", "ERROR"}}
	for _, d := range list {
		rows = append(rows, []string{strconv.FormatUint(d.Seq, 10), ago(d.At), d.Job, d.Tool, strconv.Itoa(d.Attempt), d.Error})
	}
	return a.table(rows)
}

func (a *app) deadShow(ctx context.Context, arg string) error {
	seq, err := strconv.ParseUint(arg, 10, 64)
	if err != nil {
		return usagef("%q is no sequence number; see: submit dlq list", arg)
	}
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	for d, err := range client.DeadLetters(ctx) {
		if err != nil {
			return err
		}
		if d.Seq != seq {
			continue
		}
		if a.globals.json {
			return a.printJSON(d)
		}
		rows := [][]string{{"seq", arg}, {"when", when(d.At)}, {"job", d.Job}, {"tool", d.Tool}, {"worker", d.Worker}, {"error", d.Error}}
		for _, t := range d.Tries {
			rows = append(rows, []string{fmt.Sprintf("attempt %d", t.Number), t.Worker + ": " + t.Error})
		}
		rows = append(rows, []string{"message", string(d.Message)})
		return a.table(rows)
	}
	return &jobs.NotFoundError{Kind: "dead letter", Name: arg, Hint: "list them with: submit dlq list"}
}
