package submitcli

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"boxfleet/artifacts"
	"boxfleet/jobs"
)

func (a *app) resultCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "result ID", Short: "Print a finished job's output, and fetch its files", Args: cobra.ExactArgs(1),
		Long: "result prints the job's standard output and standard error to the same streams here.\n" +
			"With --json it prints one result object instead. It exits with 0 when there is a\n" +
			"result, whatever the job's own exit code was.",
		RunE: func(cmd *cobra.Command, args []string) error { return a.result(cmd.Context(), args[0], dir) },
	}
	cmd.Flags().StringVar(&dir, "output-dir", "", "fetch the files the guest left below DIR")
	return cmd
}

func (a *app) result(ctx context.Context, id, dir string) error {
	client, err := a.client(ctx)
	if err != nil {
		return err
	}
	rec, err := client.Get(ctx, id)
	if err != nil {
		return wrongID(err)
	}
	r := rec.Result
	if rec.State != jobs.Done || r == nil {
		return &exitError{exitUnfinished, fmt.Errorf("job %s is %s and has no result yet; wait for it with: submit wait %s", id, rec.State, id)}
	}
	if dir != "" {
		n, bytes, err := a.fetchOutputs(ctx, fetchRequest{result: r, guest: "/", dir: dir})
		if err != nil {
			return err
		}
		a.remark("%s (%s) fetched to %s", count(n, "file"), size(bytes), dir)
	}
	if a.globals.json {
		if err := a.completeOutput(ctx, r); err != nil {
			return err
		}
		return a.printJSON(inLists(r))
	}
	if err := a.newStreams().finish(ctx, a, r); err != nil {
		return err
	}
	a.explainEnd(r)
	return nil
}

// maxJSONOutput is the largest output stream that --json shows in full.
const maxJSONOutput = 16 << 20

// completeOutput puts whole output streams into a result that holds only
// their beginnings. Larger ones keep their beginning and their address.
func (a *app) completeOutput(ctx context.Context, r *jobs.Result) error {
	for _, s := range []struct {
		text *jobs.Text
		key  string
	}{{&r.Stdout, r.StdoutKey}, {&r.Stderr, r.StderrKey}} {
		if s.key == "" {
			continue
		}
		bucket, key, err := artifacts.ParseObject(s.key)
		if err != nil {
			return fmt.Errorf("fetch the output of job %s: %w", r.ID, err)
		}
		store, err := a.store(ctx)
		if err != nil {
			return err
		}
		var whole bytes.Buffer
		_, err = store.GetTo(ctx, bucket, key, maxJSONOutput, &whole)
		if errors.Is(err, artifacts.ErrTooLarge) {
			continue
		}
		if err != nil {
			return fmt.Errorf("fetch the output of job %s: %w", r.ID, err)
		}
		*s.text = whole.Bytes()
	}
	return nil
}
