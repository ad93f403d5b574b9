package dashboard

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"boxfleet/artifacts"
	"boxfleet/internal/fleetview"
	"boxfleet/jobs"
)

// maxDownload bounds a file that the page gives out; larger ones are fetched
// with `submit result --output-dir`.
const maxDownload = 1 << 30

// outputFile gives one collected file, by its place in the result's list.
func (s *Server) outputFile(w http.ResponseWriter, r *http.Request) {
	rec, ok := s.finished(w, r)
	if !ok {
		return
	}
	index, err := strconv.Atoi(r.PathValue("path"))
	if err != nil || index < 0 || index >= len(rec.Result.Outputs) {
		fail(w, http.StatusNotFound, "the result lists no such file")
		return
	}
	f := rec.Result.Outputs[index]
	bucket, prefix, err := artifacts.ParseObject(rec.Result.OutputPrefix)
	if err == nil {
		err = artifacts.CheckPath(f.Path)
	}
	if err != nil {
		fail(w, http.StatusBadGateway, err.Error())
		return
	}
	s.download(w, r, object{bucket: bucket, key: prefix + f.Path, name: path.Base(f.Path), size: f.Size, sha256: f.SHA256})
}

// wholeOutput gives the whole of an output stream.
func (s *Server) wholeOutput(w http.ResponseWriter, r *http.Request) {
	rec, ok := s.finished(w, r)
	if !ok {
		return
	}
	name := r.PathValue("stream")
	inline, address := []byte(rec.Result.Stdout), rec.Result.StdoutKey
	switch name {
	case "stdout":
	case "stderr":
		inline, address = rec.Result.Stderr, rec.Result.StderrKey
	default:
		fail(w, http.StatusNotFound, "a job has stdout and stderr")
		return
	}
	name = rec.ID + "." + name + ".txt"
	if address == "" {
		opaque(w, name, int64(len(inline)))
		_, _ = w.Write(inline)
		return
	}
	bucket, key, err := artifacts.ParseObject(address)
	if err != nil {
		fail(w, http.StatusBadGateway, err.Error())
		return
	}
	s.download(w, r, object{bucket: bucket, key: key, name: name, size: -1})
}

// finished gives the record of a job that has ended.
func (s *Server) finished(w http.ResponseWriter, r *http.Request) (*jobs.Record, bool) {
	id, ok := jobID(w, r)
	if !ok {
		return nil, false
	}
	rec, err := s.cfg.Client.Get(r.Context(), id)
	if err != nil {
		failed(w, err)
		return nil, false
	}
	if rec.State != jobs.Done || rec.Result == nil {
		fail(w, http.StatusConflict, fmt.Sprintf("job %s is %s and has no result yet", id, rec.State))
		return nil, false
	}
	return rec, true
}

// object is what is downloaded; size -1 and sha256 "" when nobody said.
type object struct {
	bucket, key, name string
	size              int64
	sha256            string
}

// download copies an object. One that is not what the result says breaks the
// connection, so that the browser keeps nothing of it.
func (s *Server) download(w http.ResponseWriter, r *http.Request, o object) {
	if s.cfg.Store == nil {
		fail(w, http.StatusNotImplemented, "the fleet's context names no object store")
		return
	}
	if o.size > maxDownload {
		fail(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("%d bytes; files over %d are fetched with: submit result --output-dir", o.size, maxDownload))
		return
	}
	limit := o.size
	if limit < 0 {
		limit = maxDownload
	}
	out := &lateWriter{w: w, name: o.name, size: o.size, sum: sha256.New(), control: http.NewResponseController(w)}
	n, err := s.cfg.Store.GetTo(r.Context(), o.bucket, o.key, limit, out)
	if err == nil && !out.started {
		out.start()
	}
	sum := hex.EncodeToString(out.sum.Sum(nil))
	switch {
	case err == nil && (o.sha256 == "" || sum == o.sha256) && (o.size < 0 || n == o.size):
	case out.started:
		s.cfg.Log.Warn("a download broke off", "key", o.key, "bytes", n, "error", err)
		panic(http.ErrAbortHandler)
	default:
		failed(w, fmt.Errorf("fetch %s: %w", o.name, err))
	}
}

// lateWriter sends the headers with the first byte, so that an object that is
// not there can still be answered with an error.
type lateWriter struct {
	w       http.ResponseWriter
	name    string
	size    int64
	sum     hash.Hash
	started bool
	control *http.ResponseController
}

func (l *lateWriter) start() {
	l.started = true
	opaque(l.w, l.name, l.size)
}

func (l *lateWriter) Write(p []byte) (int, error) {
	if !l.started {
		l.start()
	}
	_, _ = l.sum.Write(p)
	_ = l.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	return l.w.Write(p)
}

// opaque announces bytes that a browser keeps and does not open: their name
// and content are the guest's.
func opaque(w http.ResponseWriter, name string, size int64) {
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	if name = strings.Trim(fleetview.Plain(name), ". "); name == "" {
		name = "output"
	}
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	if size >= 0 {
		h.Set("Content-Length", strconv.FormatInt(size, 10))
	}
}
