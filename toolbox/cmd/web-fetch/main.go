// Command web-fetch fetches a web page and prints its readable part as text or markdown, in the JSON form of the
// toolbox: {content, is_error, metadata}. It reaches the network through wasi:http, so the job must allow the host.
package main

import (
	"encoding/json"
	"errors"
	"os"
	"time"

	"boxfleet/toolbox/guesthttp"
	"boxfleet/toolbox/internal/command"
)

func main() {
	os.Exit(run(os.Args[1:], command.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// answer is what the tool prints.
type answer struct {
	Content  string    `json:"content"`
	IsError  bool      `json:"is_error"`
	Metadata *metadata `json:"metadata"`
}

func run(args []string, s command.Streams) int {
	o := options{maxChars: 20_000, timeoutSeconds: 30, maxRedirects: 5, mode: "markdown"}
	url := command.String(&o.url, "url", "The page: an absolute http or https URL").Required()
	cmd := command.Command{
		Name: "web-fetch", Version: "1.0.0", Permission: "read_only",
		Description: "Fetch a web page and print its readable part. Answers with JSON: content, is_error, metadata.",
		Keywords:    []string{"web", "http", "fetch", "url", "page", "markdown"},
		Positional:  []*command.Option{url},
		Options: []*command.Option{
			url,
			command.Number(&o.maxChars, "max-chars", "Cut the content after this many characters"),
			command.Number(&o.timeoutSeconds, "timeout-seconds", "Give up after this many seconds"),
			command.Number(&o.maxRedirects, "max-redirects", "Follow at most this many redirects"),
			command.String(&o.mode, "extract-mode", "What the content is written in").OneOf("text", "markdown"),
		},
	}
	err := cmd.Parse(args)
	if errors.Is(err, command.ErrHelp) {
		s.Out.Write([]byte(cmd.Help()))
		return command.ExitOK
	}
	code, a := command.ExitUsage, answer{Metadata: &metadata{URL: o.url}}
	if err == nil {
		err = o.check()
	}
	if err == nil {
		code = command.ExitError
		f := fetcher{transport: &guesthttp.Transport{}, timeout: time.Duration(o.timeoutSeconds) * time.Second}
		a.Content, err = f.fetch(o, a.Metadata)
	}
	if err != nil {
		a.Content, a.IsError = "web-fetch: "+err.Error(), true
	} else {
		code = command.ExitOK
	}
	line, err := json.Marshal(a)
	if err == nil {
		_, err = s.Out.Write(append(line, '\n'))
	}
	if err != nil {
		return cmd.Fail(s, err)
	}
	return code
}
