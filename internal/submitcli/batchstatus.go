package submitcli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"boxfleet/jobs"
)

func (a *app) batchStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status BATCH", Short: "Show how far a batch is", Args: oneBatch,
		RunE: func(cmd *cobra.Command, args []string) error { return a.batchStatus(cmd.Context(), args[0]) },
	}
}

func (a *app) batchCloseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "close BATCH", Short: "Close a batch whose submission was broken off", Args: oneBatch,
		Long: "close says that nothing more is submitted to a batch, so that it ends when its jobs\n" +
			"have. Submitting the same file again does that too, and submits what is missing.",
		RunE: func(cmd *cobra.Command, args []string) error { return a.batchClose(cmd.Context(), args[0]) },
	}
}

func (a *app) batchesCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "batches", Short: "List batches, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.listBatches(cmd.Context(), limit) },
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "at most this many")
	return cmd
}

func oneBatch(_ *cobra.Command, args []string) error {
	switch {
	case len(args) != 1:
		return errors.New("which batch? give its id; list batches with: submit batches")
	case !jobs.ValidID(args[0]):
		return fmt.Errorf("batch id %q is not 1 to 64 letters, digits, - or _", args[0])
	}
	return nil
}

// inBrief takes what only counting needs out of a record.
func inBrief(b *jobs.Batch) *jobs.Batch {
	b.Final, b.Counted = nil, nil
	if b.Counts == nil {
		b.Counts = map[jobs.Outcome]int{}
	}
	return b
}

func (a *app) batchStatus(ctx context.Context, id string) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	b, err := client.Batch(ctx, id)
	if err != nil {
		return err
	}
	if a.globals.json {
		return a.printJSON(inBrief(b))
	}
	rows := [][]string{{"batch", b.ID}, {"state", batchState(b)}, {"jobs", jobsText(b)}, {"ended", fmt.Sprint(b.Ended())}}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	for _, o := range jobs.Outcomes {
		if n := b.Counts[o]; n > 0 {
			add("  "+string(o), fmt.Sprint(n))
		}
	}
	if b.Forgotten > 0 {
		add("  not kept", fmt.Sprint(b.Forgotten))
	}
	add("opened", when(b.CreatedAt))
	add("submitted", when(b.ClosedAt))
	add("ended at", when(b.EndedAt))
	add("notification", noticeText(b))
	return a.table(rows)
}

func batchState(b *jobs.Batch) string {
	switch {
	case b.CancelRequested && b.State != jobs.BatchEnded:
		return "being canceled"
	case b.CancelRequested:
		return "ended, canceled"
	case b.State == jobs.BatchOpen:
		return "open: jobs are still being submitted"
	case b.State == jobs.BatchClosed:
		return "running"
	}
	return string(b.State)
}

// jobsText is how many jobs there are, and how many are still to be made.
func jobsText(b *jobs.Batch) string {
	switch {
	case b.State == jobs.BatchOpen:
		return fmt.Sprintf("%d so far", b.Listed)
	case b.State == jobs.BatchClosed && b.Listed < b.Total:
		return fmt.Sprintf("%d, %d seen so far", b.Total, b.Listed)
	}
	return fmt.Sprint(b.Total)
}

func noticeText(b *jobs.Batch) string {
	n := b.Notify
	if n == nil {
		return ""
	}
	var to []string
	if n.Subject != "" {
		to = append(to, n.Subject)
	}
	if n.Webhook != nil {
		to = append(to, n.Webhook.URL)
	}
	text := strings.Join(to, " and ")
	if b.Notice == nil {
		return text + " at the end"
	}
	text += ": " + string(b.Notice.State)
	if b.Notice.Attempts > 1 {
		text += fmt.Sprintf(" after %d attempts", b.Notice.Attempts)
	}
	if b.Notice.Error != "" {
		text += ": " + b.Notice.Error
	}
	if !b.Notice.NextAt.IsZero() && b.Notice.Attempts > 0 {
		text += "; next attempt at " + b.Notice.NextAt.Local().Format("15:04:05")
	}
	return text
}

func (a *app) batchClose(ctx context.Context, id string) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	n, err := client.CloseBatch(ctx, id)
	if err != nil {
		return err
	}
	if a.globals.json {
		return a.printLine(map[string]any{"batch": id, "total": n})
	}
	_, err = fmt.Fprintf(a.Stdout, "batch %s: closed with %s\n", id, count(n, "job"))
	return wroteOut(err)
}

func (a *app) listBatches(ctx context.Context, limit int) error {
	if limit < 1 {
		return usagef("--limit: %d; at least 1", limit)
	}
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	list := []*jobs.Batch{}
	for b, err := range client.Batches(ctx) {
		if err != nil {
			return err
		}
		list = append(list, inBrief(b))
	}
	slices.SortFunc(list, func(a, b *jobs.Batch) int { return b.CreatedAt.Compare(a.CreatedAt) })
	more := max(0, len(list)-limit)
	list = list[:len(list)-more]
	if a.globals.json {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		a.remark("no batches")
		return nil
	}
	rows := [][]string{{"BATCH", "STATE", "JOBS", "ENDED", "SUCCEEDED", "OPENED", "NOTIFICATION"}}
	for _, b := range list {
		notice := ""
		if b.Notice != nil {
			notice = string(b.Notice.State)
		}
		total := b.Total
		if b.State == jobs.BatchOpen {
			total = b.Listed
		}
		rows = append(rows, []string{b.ID, string(b.State), fmt.Sprint(total), fmt.Sprint(b.Ended()), fmt.Sprint(b.Counts[jobs.Succeeded]), ago(b.CreatedAt), notice})
	}
	if err := a.table(rows); err != nil {
		return err
	}
	if more > 0 {
		a.remark("%d older ones are not shown; see --limit", more)
	}
	return nil
}
