package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"boxfleet/toolbox/internal/command"
)

const article = `<!doctype html><html><head><title> A &amp; B
 page</title><style>p{color:red}</style><script>if (a < b) document.write("<p>no</p>")</script></head>
<body><nav><a href="/menu">Menu</a></nav>
<main><h1>Head <em>line</em></h1>
<p>First   paragraph with a <a href="../other?x=(1)">link</a>, <b>bold</b> and <code>code</code>.<br>Second line.</p>
<ul><li>one<li>two<ul><li>nested</ul></li></ul>
<ol><li>first</li><li>second</li></ol>
<blockquote><p>Quoted</p></blockquote>
<pre>  kept
    as is</pre>
<table><tr><th>a<th>b</tr><tr><td>1</td><td>2</td></tr></table>
<img src="pic.png" alt="A picture"><a href="javascript:alert(1)">bad</a><a href="/icon"><svg><text>x</text></svg></a>
<!-- <p>comment</p> -->
</main><footer>Foot</footer></body></html>`

const articleMarkdown = `# Head *line*

First paragraph with a [link](http://h/other?x=%281%29), **bold** and ` + "`code`" + `.
Second line.

- one
- two
  - nested

1. first
2. second

> Quoted

` + "```" + `
  kept
    as is
` + "```" + `

a | b
1 | 2

![A picture](http://h/dir/pic.png) bad`

func TestRender(t *testing.T) {
	base, _ := url.Parse("http://h/dir/page.html")
	got := render(article, base, true, 1<<20)
	if got.title != "A & B page" || got.content != articleMarkdown {
		t.Errorf("title %q, content\n%s\nwant\n%s", got.title, got.content, articleMarkdown)
	}
	text := render(article, base, false, 1<<20).content
	for _, mark := range []string{"#", "*", "](", "`", "> ", "no", "Menu", "Foot", "comment"} {
		if strings.Contains(text, mark) {
			t.Errorf("%q in text\n%s", mark, text)
		}
	}
	if !strings.Contains(text, "First paragraph with a link, bold and code.\nSecond line.") {
		t.Errorf("got\n%s", text)
	}
}

func TestRenderOddPages(t *testing.T) {
	base, _ := url.Parse("http://h/")
	tests := []struct{ html, want string }{
		{"", ""},
		{"just text", "just text"},
		{"a < b and c > d", "a < b and c > d"},
		{"<p>open <b>never closed", "open **never closed"},
		{"</p></div></li></ul>end tags only", "end tags only"},
		{"<p title='a > b'>x</p>", "x"},
		{`<p title="never closed>x</p>`, "x"},
		{"<script>x", ""},
		{"<scr<p>x", "x"},
		{"<title>one</title><title>two</title>x", "x"},
		{"<article>kept</article>left out", "kept"},
		{"<nav>left out</nav>kept", "kept"},
		{"<nav>left<nav>out</nav>still</nav>kept", "kept"},
		{"<!-- never closed", ""},
		{"<a href=http://h/x>l", "[l](http://h/x)"},
		{"&lt;p&gt; &amp;nbsp; &#x41; &bogus;", "<p> &nbsp; A &bogus;"},
		{"<", "<"},
		{"<>", "<>"},
	}
	for _, tt := range tests {
		if got := render(tt.html, base, true, 1<<20).content; got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.html, got, tt.want)
		}
	}
}

// Big pages that are made to be slow are not: this test ends.
func TestRenderIsLinear(t *testing.T) {
	base, _ := url.Parse("http://h/" + strings.Repeat("x", 2000))
	for _, piece := range []string{"<a b=\">", "<a b='>'", "<a ", "<", "</", "<!", "<!--", "<title>", "</title", "<script>", "<li><ul>", "<a href=y>", "<a href=y>z", "<b></i>", "&", "&#", "<blockquote>x", "<pre>\n", "<main><article>"} {
		page := strings.Repeat(piece, maxBody/4/len(piece))
		if got := render(page, base, true, 100_000).content; len(got) > 1<<20+2*len(page) {
			t.Errorf("%q: %d bytes", piece, len(got))
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add(article)
	f.Add("<a href='x'><b></a><li><ol><li><pre><pre></pre>")
	f.Add(strings.Repeat("<ul><li>", 200))
	base, _ := url.Parse("http://h/dir/")
	f.Fuzz(func(t *testing.T, page string) {
		for _, markdown := range []bool{true, false} {
			got := render(page, base, markdown, 1000)
			if len(got.content) > 1000+2*len(page)+64 {
				t.Fatalf("%d bytes of page became %d", len(page), len(got.content))
			}
		}
	})
}

func TestRun(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, "<title>T</title><p>hello "+r.UserAgent())
	})
	mux.HandleFunc("/latin", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=iso-8859-1")
		w.Write([]byte("caf\xe9 \x80"))
	})
	mux.HandleFunc("/json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"a":1}`)
	})
	mux.HandleFunc("/image", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/png")
		w.Write([]byte{1})
	})
	mux.HandleFunc("/missing", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "not here", http.StatusNotFound) })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/ftp", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "ftp://h/")
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("/hops/", func(w http.ResponseWriter, r *http.Request) {
		var n int
		fmt.Sscan(r.URL.Path[len("/hops/"):], &n)
		if n == 0 {
			http.Redirect(w, r, "/json", http.StatusFound)
			return
		}
		http.Redirect(w, r, fmt.Sprint("/hops/", n-1), http.StatusFound)
	})
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	tests := []struct {
		path    string
		args    []string
		code    int
		content string // a part of it
	}{
		{"/page", nil, 0, "hello boxfleet-web-fetch/1.0"},
		{"/page", []string{"--max-chars=5"}, 0, "hello"},
		{"/latin", nil, 0, "café €"},
		{"/json", nil, 0, `{"a":1}`},
		{"/hops/3", nil, 0, `{"a":1}`},
		{"/hops/3", []string{"--max-redirects=3"}, 1, "more than 3 redirects"},
		{"/page", []string{"--max-redirects=0"}, 0, "hello"},
		{"/image", nil, 1, "image/png, which is no text"},
		{"/missing", nil, 1, "the server answered 404 Not Found: not here"},
		{"/loop", nil, 1, "redirect loop"},
		{"/ftp", nil, 1, "only http and https"},
		{"/slow", []string{"--timeout-seconds=1"}, 1, "no answer within 1s"},
		{"/page", []string{"--max-chars=0"}, 2, "--max-chars is 0"},
		{"/page", []string{"--extract-mode=pdf"}, 2, "text, markdown"},
	}
	for _, tt := range tests {
		t.Run(tt.path+" "+strings.Join(tt.args, " "), func(t *testing.T) {
			var out, complaints bytes.Buffer
			code := run(append([]string{"--url=" + s.URL + tt.path}, tt.args...), command.Streams{Out: &out, Err: &complaints})
			var a answer
			if err := json.Unmarshal(out.Bytes(), &a); err != nil {
				t.Fatalf("%v in %q", err, out.String())
			}
			if code != tt.code || a.IsError != (tt.code != 0) || !strings.Contains(a.Content, tt.content) {
				t.Errorf("code %d, got %+v", code, a)
			}
			if code == 0 && (a.Metadata.Status != 200 || a.Metadata.FinalURL == "" || a.Metadata.Chars == 0) {
				t.Errorf("metadata %+v", a.Metadata)
			}
		})
	}
	for _, args := range [][]string{{}, {"--url=example.com"}, {"--url=file:///etc/passwd"}, {"--url=http://"}} {
		var out bytes.Buffer
		if code := run(args, command.Streams{Out: &out, Err: &out}); code != 2 || !strings.Contains(out.String(), `"is_error":true`) {
			t.Errorf("%q: code %d, %s", args, code, out.String())
		}
	}
}
