package dashboard

import (
	"bytes"
	"embed"
	"io/fs"
	"net/http"
	"strings"
	"time"
)

//go:embed assets
var embedded embed.FS

func assets() fs.FS {
	sub, err := fs.Sub(embedded, "assets")
	if err != nil {
		panic(err) // the directive above names it
	}
	return sub
}

// types of the embedded files, so that the machine's own table says nothing.
var types = map[string]string{
	"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml",
}

func (s *Server) page(w http.ResponseWriter, r *http.Request) { s.file(w, r, "index.html") }

func (s *Server) asset(w http.ResponseWriter, r *http.Request) { s.file(w, r, r.PathValue("file")) }

func (s *Server) file(w http.ResponseWriter, r *http.Request, name string) {
	data, err := fs.ReadFile(s.files, name)
	kind := types[name[strings.LastIndexByte(name, '.')+1:]]
	if err != nil || kind == "" {
		s.refuse(w, r, http.StatusNotFound, "there is no such page")
		return
	}
	w.Header().Set("Content-Type", kind)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}
