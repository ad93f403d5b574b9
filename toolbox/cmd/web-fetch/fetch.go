package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// maxBody is how much of a page is read. Pages are cut, not refused: what is readable comes early.
const maxBody = 4 << 20

// options are what the command line says.
type options struct {
	url                                    string
	maxChars, timeoutSeconds, maxRedirects int
	mode                                   string
}

func (o options) check() error {
	u, err := url.Parse(o.url)
	switch {
	case err != nil:
		return fmt.Errorf("--url: %w", err)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("--url is %q: want an absolute URL such as https://example.com/", o.url)
	case o.maxChars < 1:
		return fmt.Errorf("--max-chars is %d: want 1 or more", o.maxChars)
	case o.timeoutSeconds < 1 || o.timeoutSeconds > 3600:
		return fmt.Errorf("--timeout-seconds is %d: want 1 to 3600", o.timeoutSeconds)
	case o.maxRedirects < 0 || o.maxRedirects > 20:
		return fmt.Errorf("--max-redirects is %d: want 0 to 20", o.maxRedirects)
	}
	return nil
}

// metadata says where the content comes from and what became of it.
type metadata struct {
	URL         string   `json:"url"`
	FinalURL    string   `json:"final_url,omitempty"`
	Redirects   []string `json:"redirects,omitempty"` // the URLs gone through, the first and the last left out
	Status      int      `json:"status,omitempty"`
	ContentType string   `json:"content_type,omitempty"`
	Title       string   `json:"title,omitempty"`
	Chars       int      `json:"chars"`
	Truncated   bool     `json:"truncated"`
}

// fetcher makes one fetch.
type fetcher struct {
	transport http.RoundTripper
	timeout   time.Duration
}

// fetch gives the readable content. It fills in m as far as it comes, also when it fails.
func (f fetcher) fetch(o options, m *metadata) (string, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), f.timeout, fmt.Errorf("no answer within %v", f.timeout))
	defer cancel()
	resp, err := f.get(ctx, o, m)
	if err != nil {
		return "", explain(ctx, err)
	}
	defer resp.Body.Close()
	m.FinalURL, m.Status, m.ContentType = resp.Request.URL.String(), resp.StatusCode, resp.Header.Get("Content-Type")
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return "", fmt.Errorf("read the page: %w", explain(ctx, err))
	}
	if len(body) > maxBody {
		body, m.Truncated = body[:maxBody], true
	}
	content, err := extract(body, m, resp.Request.URL, o)
	if err != nil {
		return "", err
	}
	content = cut(content, o.maxChars, m)
	if resp.StatusCode >= 400 {
		return "", fmt.Errorf("the server answered %s: %s", resp.Status, cut(content, 500, &metadata{}))
	}
	return content, nil
}

// get follows redirects itself, so that loops and counts are seen here and each hop is shown.
func (f fetcher) get(ctx context.Context, o options, m *metadata) (*http.Response, error) {
	seen := []string{}
	next := o.url
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, next, nil)
		if err != nil {
			return nil, err
		}
		req.URL.Fragment = ""
		req.Header.Set("User-Agent", "boxfleet-web-fetch/1.0")
		req.Header.Set("Accept", "text/html,application/xhtml+xml,text/*;q=0.9,application/json;q=0.9,*/*;q=0.1")
		resp, err := f.transport.RoundTrip(req)
		if err != nil {
			return nil, fmt.Errorf("get %s: %w", next, err)
		}
		location := resp.Header.Get("Location")
		if resp.StatusCode < 300 || resp.StatusCode > 399 || resp.StatusCode == http.StatusNotModified || location == "" {
			return resp, nil
		}
		resp.Body.Close()
		seen = append(seen, next)
		to, err := req.URL.Parse(location)
		if err != nil {
			return nil, fmt.Errorf("%s redirects to %q, which is no URL", next, location)
		}
		to.Fragment = ""
		switch next = to.String(); {
		case to.Scheme != "http" && to.Scheme != "https":
			return nil, fmt.Errorf("redirect to %s: only http and https are followed", next)
		case slices.Contains(seen, next):
			return nil, fmt.Errorf("redirect loop: %s was visited before", next)
		case len(seen) > o.maxRedirects:
			return nil, fmt.Errorf("more than %d redirects; the next would be %s", o.maxRedirects, next)
		}
		m.Redirects = append(m.Redirects, next)
	}
}

// explain puts the timeout's own words in place of "context deadline exceeded".
func explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return cause
	}
	return err
}

// extract turns a body into content by its type.
func extract(body []byte, m *metadata, base *url.URL, o options) (string, error) {
	kind, params, err := mime.ParseMediaType(m.ContentType)
	if err != nil {
		kind = http.DetectContentType(body)
		kind, params, _ = mime.ParseMediaType(kind)
	}
	text := decode(body, params["charset"])
	switch {
	case kind == "text/html" || kind == "application/xhtml+xml":
		page := render(text, base, o.mode == "markdown", min(8*o.maxChars, 2*maxBody)) // 4 bytes a character, and room to tidy
		m.Title, m.Truncated = page.title, m.Truncated || page.cut
		return page.content, nil
	case strings.HasPrefix(kind, "text/"), kind == "application/json", strings.HasSuffix(kind, "+json"), kind == "application/xml", strings.HasSuffix(kind, "+xml"), kind == "application/javascript":
		return text, nil
	case len(body) == 0:
		return "", nil
	}
	return "", fmt.Errorf("the page is %s, which is no text", kind)
}

// decode gives valid UTF-8. Windows-1252 is what the HTML standard reads for the Latin-1 labels.
func decode(body []byte, charset string) string {
	switch strings.ToLower(charset) {
	case "iso-8859-1", "latin1", "windows-1252", "us-ascii":
		var sb strings.Builder
		for _, b := range body {
			if r := rune(b); b < 0x80 || b >= 0xa0 {
				sb.WriteRune(r)
			} else {
				sb.WriteRune(windows1252[b-0x80])
			}
		}
		return sb.String()
	}
	return strings.ToValidUTF8(strings.TrimPrefix(string(body), "\ufeff"), "\ufffd")
}

var windows1252 = [32]rune{
	'€', 0xfffd, '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', 0xfffd, 'Ž', 0xfffd,
	0xfffd, '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', 0xfffd, 'ž', 'Ÿ',
}

// cut shortens text to a number of characters.
func cut(text string, most int, m *metadata) string {
	m.Chars = utf8.RuneCountInString(text)
	if m.Chars <= most {
		return text
	}
	m.Chars, m.Truncated = most, true
	at := 0
	for range most {
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	return text[:at]
}
