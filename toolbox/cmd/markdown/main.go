// Command markdown turns CommonMark with GitHub's extensions into HTML
// (goldmark).
package main

import (
	"bytes"
	"cmp"
	"io"
	"os"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/util"

	"boxfleet/toolbox/internal/command"
)

func main() {
	os.Exit(run(os.Args[1:], command.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

type options struct {
	file, output, title string
	page, unsafe        bool
}

func describe(o *options) *command.Command {
	file := command.String(&o.file, "file", "The Markdown file; without one standard input is read")
	return &command.Command{
		Name: "markdown", Version: "1.8.7", Permission: "write",
		Description: "Turn Markdown (CommonMark and GitHub's tables, task lists, strikethrough and autolinks) into HTML.",
		Keywords:    []string{"markdown", "html", "convert", "commonmark", "document"},
		Positional:  []*command.Option{file},
		Options: []*command.Option{
			file,
			command.String(&o.output, "output", "Where to write the HTML; without one it goes to standard output").Short('o'),
			command.Bool(&o.page, "page", "Make a whole page with head and body, not only the body's content"),
			command.String(&o.title, "title", "The page's title, with --page"),
			command.Bool(&o.unsafe, "unsafe", "Keep raw HTML and links of any scheme; they are dropped otherwise"),
		},
	}
}

func run(args []string, s command.Streams) int {
	var o options
	cmd := describe(&o)
	if code, goOn := cmd.Start(args, s); !goOn {
		return code
	}
	source, err := read(o.file, s.In)
	if err != nil {
		return cmd.Fail(s, err)
	}
	out, err := convert(source, o)
	if err != nil {
		return cmd.Fail(s, err)
	}
	if o.output != "" {
		err = os.WriteFile(o.output, out, 0o644)
	} else {
		_, err = s.Out.Write(out)
	}
	if err != nil {
		return cmd.Fail(s, err)
	}
	return command.ExitOK
}

func read(file string, stdin io.Reader) ([]byte, error) {
	if file == "" || file == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(file)
}

func convert(source []byte, o options) ([]byte, error) {
	var rendering []goldmark.Option
	if o.unsafe {
		rendering = append(rendering, goldmark.WithRendererOptions(html.WithUnsafe()))
	}
	md := goldmark.New(append(rendering,
		goldmark.WithExtensions(extension.GFM, extension.Footnote),
		goldmark.WithParserOptions(parser.WithAutoHeadingID()))...)
	var out bytes.Buffer
	out.Grow(len(source) * 2)
	if o.page {
		out.WriteString("<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n<title>")
		out.Write(util.EscapeHTML([]byte(cmp.Or(o.title, o.file, "Untitled"))))
		out.WriteString("</title>\n</head>\n<body>\n")
	}
	if err := md.Convert(source, &out); err != nil {
		return nil, err
	}
	if o.page {
		out.WriteString("</body>\n</html>\n")
	}
	return out.Bytes(), nil
}
