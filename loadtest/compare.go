package main

import (
	"errors"
	"flag"
	"fmt"
	"io"

	"boxfleet/loadtest/report"
)

// compare prints two reports side by side.
func compare(args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("loadtest compare", flag.ContinueOnError)
	fs.SetOutput(stderr)
	html := fs.String("html", "", "`file` for the comparison as a web page")
	limit := fs.Float64("fail-over", 0, "exit with 1 when a figure is worse by more than this ratio, such as 1.2; 0 never")
	files, err := twoFiles(fs, args)
	if err == nil && *limit != 0 && *limit < 1 {
		err = fmt.Errorf("--fail-over %g; a ratio from 1 on, such as 1.2", *limit)
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "loadtest: %v\n", err)
		return 2
	}
	a, err := report.Load(files[0])
	b, err2 := report.Load(files[1])
	if err := errors.Join(err, err2); err != nil {
		_, _ = fmt.Fprintf(stderr, "loadtest: %v\n", err)
		return 1
	}
	c := report.Compare(a, b)
	c.Print(stdout)
	if *html != "" {
		if err := c.SavePage(*html); err != nil {
			_, _ = fmt.Fprintf(stderr, "loadtest: %v\n", err)
			return 1
		}
	}
	if worse := c.Worse(*limit); *limit > 0 && len(worse) > 0 {
		for _, l := range worse {
			_, _ = fmt.Fprintf(stderr, "loadtest: worse by more than %g: %s\n", *limit, l.Name)
		}
		return 1
	}
	return 0
}

// twoFiles takes two names out of args, with flags before, between or behind.
func twoFiles(fs *flag.FlagSet, args []string) (files []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		if fs.NArg() == 0 {
			break
		}
		files = append(files, fs.Arg(0))
		args = fs.Args()[1:]
	}
	if len(files) != 2 {
		return nil, fmt.Errorf("%d files are named, two are needed: loadtest %s", len(files), "compare A.json B.json, or page REPORT.json FILE.html")
	}
	return files, nil
}

// page draws a report that was kept as JSON.
func page(args []string, stderr io.Writer) int {
	fs := flag.NewFlagSet("loadtest page", flag.ContinueOnError)
	fs.SetOutput(stderr)
	files, err := twoFiles(fs, args)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "loadtest: %v\n", err)
		return 2
	}
	r, err := report.Load(files[0])
	if err == nil {
		err = r.SavePage(files[1])
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "loadtest: %v\n", err)
		return 1
	}
	return 0
}
