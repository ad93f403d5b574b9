package mcp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"path"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"boxfleet/artifacts"
	"boxfleet/jobs"
)

const (
	// maxResource is the largest file that is read as a resource, in bytes.
	maxResource = 4 << 20
	// maxURI is the longest address of one.
	maxURI = 4 << 10
	// maxKept is for how many jobs of this server resources can be read.
	maxKept = 1024

	uriPrefix = "boxfleet://jobs/"
)

// The parts of a job that can be read.
const (
	partStdout = "stdout"
	partStderr = "stderr"
	partResult = "result"
	partFiles  = "files/"
)

var resourceTemplates = []*sdk.ResourceTemplate{
	{URITemplate: uriPrefix + "{job}/files/{+path}", Name: "job-file", Title: "A file that a call left", Description: "A new or changed file of a call made here, complete. Calls link to their files."},
	{URITemplate: uriPrefix + "{job}/" + partStdout, Name: "job-stdout", Title: "Standard output of a call", Description: "All of it, byte for byte, also what was too long for the answer."},
	{URITemplate: uriPrefix + "{job}/" + partStderr, Name: "job-stderr", Title: "Standard error of a call"},
	{URITemplate: uriPrefix + "{job}/" + partResult, Name: "job-result", Title: "Result of a call", Description: "How the job ended and what it cost.", MIMEType: "application/json"},
}

// kept knows the jobs whose resources may be read: those that this server has
// run, newest maxKept of them, each for the session that called. Calls without
// a session (standard input and output, or HTTP since protocol 2026-07-28)
// share what they leave; job ids cannot be guessed.
type kept struct {
	mu    sync.Mutex
	owner map[string]string
	order []string
}

func (k *kept) add(job, session string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.owner == nil {
		k.owner = map[string]string{}
	}
	k.owner[job] = session
	if k.order = append(k.order, job); len(k.order) > maxKept {
		delete(k.owner, k.order[0])
		k.order = k.order[1:]
	}
}

func (k *kept) has(job, session string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	owner, known := k.owner[job]
	return known && owner == session
}

// fileURI is the address of a file that a job left.
func fileURI(job, p string) string {
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return uriPrefix + job + "/" + partFiles + strings.Join(segments, "/")
}

// parseURI takes an address apart; the file's path is decoded.
func parseURI(uri string) (job, part, file string, ok bool) {
	rest, ok := strings.CutPrefix(uri, uriPrefix)
	if !ok {
		return "", "", "", false
	}
	job, part, ok = strings.Cut(rest, "/")
	if !ok || !jobs.ValidID(job) {
		return "", "", "", false
	}
	if escaped, isFile := strings.CutPrefix(part, partFiles); isFile {
		p, err := url.PathUnescape(escaped)
		return job, partFiles, p, err == nil && artifacts.CheckPath(p) == nil
	}
	return job, part, "", part == partStdout || part == partStderr || part == partResult
}

// readResource gives what a job of this server and session has left.
func (s *Server) readResource(ctx context.Context, req *sdk.ReadResourceRequest) (*sdk.ReadResourceResult, error) {
	uri := req.Params.URI
	job, part, file, ok := parseURI(uri)
	if !ok || !s.kept.has(job, req.Session.ID()) {
		return nil, sdk.ResourceNotFoundError(uri)
	}
	rec, err := s.cfg.Client.Get(ctx, job)
	var missing *jobs.NotFoundError
	switch {
	case errors.As(err, &missing):
		return nil, sdk.ResourceNotFoundError(uri) // results are not kept for ever
	case err != nil:
		return nil, failed("read the result of job %s: %v", job, err)
	case rec.Result == nil:
		return nil, failed("job %s is %s and has left nothing yet", job, rec.State)
	}
	r := rec.Result
	switch part {
	case partFiles:
		for _, f := range r.Outputs {
			if f.Path == file {
				return s.readFile(ctx, uri, r, f)
			}
		}
		return nil, sdk.ResourceNotFoundError(uri)
	case partStdout:
		return s.readStream(ctx, uri, r.Stdout, r.StdoutKey)
	case partStderr:
		return s.readStream(ctx, uri, r.Stderr, r.StderrKey)
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, failed("encode the result of job %s: %v", job, err)
	}
	return contents(uri, "application/json", text), nil
}

func failed(format string, args ...any) error {
	return &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: line(fmt.Sprintf(format, args...), maxText)}
}

func (s *Server) readFile(ctx context.Context, uri string, r *jobs.Result, f artifacts.OutputFile) (*sdk.ReadResourceResult, error) {
	if f.Size > maxResource {
		return nil, failed("%s has %d bytes, at most %d are read as a resource; fetch it with: submit result %s --output-dir DIR", f.Path, f.Size, maxResource, r.ID)
	}
	bucket, key, err := artifacts.ParseObject(r.OutputPrefix)
	if err != nil || s.cfg.Store == nil {
		return nil, failed("%s cannot be read: this server has no object store", f.Path)
	}
	data, err := s.cfg.Store.Get(ctx, bucket, key+f.Path, maxResource)
	if err != nil {
		return nil, failed("read %s: %v", f.Path, err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != f.SHA256 {
		return nil, failed("read %s: it is not what the job left: SHA-256 %x, the result says %s", f.Path, sum, f.SHA256)
	}
	return contents(uri, mimeType(f.Path), data), nil
}

func (s *Server) readStream(ctx context.Context, uri string, inline []byte, key string) (*sdk.ReadResourceResult, error) {
	data, whole, err := s.stream(ctx, inline, key, maxResource)
	switch {
	case err != nil:
		return nil, failed("%v", err)
	case !whole:
		return nil, failed("it is longer than the %d bytes that are read as a resource", maxResource)
	}
	return contents(uri, "text/plain", data), nil
}

// stream gives standard output or error: the whole of it when it is no longer
// than limit, else what the result itself has.
func (s *Server) stream(ctx context.Context, inline []byte, key string, limit int64) (data []byte, whole bool, err error) {
	if key == "" {
		return inline, true, nil
	}
	bucket, name, err := artifacts.ParseObject(key)
	if err != nil {
		return inline, false, err
	}
	if s.cfg.Store == nil {
		return inline, false, nil
	}
	var all bytes.Buffer
	_, err = s.cfg.Store.GetTo(ctx, bucket, name, limit, &all)
	switch {
	case errors.Is(err, artifacts.ErrTooLarge):
		return inline, false, nil
	case err != nil:
		return inline, false, fmt.Errorf("read the whole output: %w", err)
	}
	return all.Bytes(), true, nil
}

// contents are a resource's: text when it is UTF-8, base64 otherwise.
func contents(uri, mediaType string, data []byte) *sdk.ReadResourceResult {
	c := &sdk.ResourceContents{URI: uri, MIMEType: mediaType}
	if utf8.Valid(data) && !strings.HasPrefix(mediaType, "image/") {
		c.Text = string(data)
	} else {
		c.Blob = data
		if strings.HasPrefix(mediaType, "text/") {
			c.MIMEType = "application/octet-stream"
		}
	}
	return &sdk.ReadResourceResult{Contents: []*sdk.ResourceContents{c}}
}

// mimeType guesses by the file's name; "" when it says nothing.
func mimeType(p string) string {
	t, _, _ := strings.Cut(mime.TypeByExtension(path.Ext(p)), ";")
	return t
}
