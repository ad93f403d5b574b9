package submitcli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"boxfleet/artifacts"
	"boxfleet/jobs"
)

// maxInlineStdin is the largest standard input that travels in the job's
// message, as JSON text; what is larger, or is no text, becomes an object.
const maxInlineStdin = 32 << 10

// guestInput is the guest's standard input before it is uploaded: inline, or a
// file that must become an object. close removes a spooled file.
type guestInput struct {
	inline string
	file   *os.File
	size   int64
	spool  bool
}

// openStdin reads what --stdin names, "-" being this program's own. Pipes and
// the like are spooled to a temporary file once they are too large to travel
// in the message.
func (a *app) openStdin(name string) (*guestInput, error) {
	var in io.Reader = a.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, usagef("--stdin: %w; give a file, or - for this program's own standard input", plainPathError(err))
		}
		info, err := f.Stat()
		switch {
		case err != nil:
			_ = f.Close()
			return nil, usagef("--stdin: %w", err)
		case info.IsDir():
			_ = f.Close()
			return nil, usagef("--stdin: %s is a directory; pass directories by --map-dir", name)
		case info.Mode().IsRegular() && info.Size() > maxInlineStdin:
			return &guestInput{file: f, size: info.Size()}, nil
		}
		defer f.Close()
		in = f
	}
	head, err := io.ReadAll(io.LimitReader(in, maxInlineStdin+1))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	if travels(head) {
		return &guestInput{inline: string(head)}, nil
	}
	return spool(io.MultiReader(bytes.NewReader(head), in), "stdin")
}

// interruptible reads input that may block for ever, such as a terminal's,
// and gives up when ctx ends. What still reads then ends with the program.
func interruptible(ctx context.Context, read func() (*guestInput, error)) (*guestInput, error) {
	type end struct {
		g   *guestInput
		err error
	}
	ended := make(chan end, 1)
	go func() {
		g, err := read()
		ended <- end{g, err}
	}()
	select {
	case e := <-ended:
		return e.g, e.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// travels tells whether data survives as JSON text of bounded length.
func travels(data []byte) bool {
	if len(data) > maxInlineStdin || !utf8.Valid(data) {
		return false
	}
	text, err := json.Marshal(string(data))
	return err == nil && len(text) <= maxInlineStdin
}

// spool copies a stream to a temporary file that has no name any more, where
// the system allows that.
func spool(in io.Reader, what string) (*guestInput, error) {
	f, err := os.CreateTemp("", "boxfleet-"+what+"-*")
	if err != nil {
		return nil, fmt.Errorf("keep %s in a temporary file: %w", what, err)
	}
	g := &guestInput{file: f, spool: true}
	if g.size, err = io.Copy(f, in); err != nil {
		g.close()
		return nil, fmt.Errorf("keep %s in a temporary file: %w", what, err)
	}
	return g, nil
}

func (g *guestInput) close() {
	if g == nil || g.file == nil {
		return
	}
	_ = g.file.Close()
	if g.spool {
		_ = os.Remove(g.file.Name())
	}
}

// preview is the job's Stdin before the upload, for validation.
func (g *guestInput) preview() *jobs.Stdin {
	switch {
	case g == nil:
		return nil
	case g.file != nil:
		return &jobs.Stdin{Source: string(placeholder)}
	case g.inline == "":
		return nil
	}
	return &jobs.Stdin{Inline: g.inline}
}

// send uploads what does not travel inline and gives the job's Stdin.
func (g *guestInput) send(ctx context.Context, store func(context.Context) (*artifacts.Store, error)) (*jobs.Stdin, error) {
	if g == nil || g.file == nil {
		return g.preview(), nil
	}
	s, err := store(ctx)
	if err != nil {
		return nil, err
	}
	d, err := s.PutBlob(ctx, g.file, g.size)
	if err != nil {
		return nil, fmt.Errorf("upload standard input: %w", err)
	}
	return &jobs.Stdin{Source: string(d)}, nil
}
