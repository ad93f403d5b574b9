package dashboard

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// policy is the page's content security policy. Scripts and styles are the
// embedded files and nothing else; nothing may be loaded from elsewhere, no
// form sent, no frame made of it, and no text become markup (Trusted Types,
// with no policy allowed, makes innerHTML and its like throw).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// guard lets requests through that a page of ours, opened by whoever has the
// key, can have made.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
		h.Set("Cache-Control", "no-store")
		if !loopbackHost(r.Host) {
			s.refuse(w, r, http.StatusMisdirectedRequest, "this server answers to loopback addresses only, not to another name")
			return
		}
		if !sameOrigin(r) {
			s.refuse(w, r, http.StatusForbidden, "the request comes from another site")
			return
		}
		if r.URL.Path == "/" && r.URL.Query().Has("key") {
			s.enter(w, r)
			return
		}
		cookie, err := r.Cookie(cookieName(r.Host))
		if err != nil || !equal(cookie.Value, s.cfg.Key) {
			s.refuse(w, r, http.StatusUnauthorized, "this address needs the session's key: open the address that submit dashboard printed")
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead && !s.mayAct(w, r) {
			return
		}
		next.ServeHTTP(w, r)
	})
}

// enter takes the key out of the address and keeps it in a cookie that scripts
// cannot read and other sites do not send.
func (s *Server) enter(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || !equal(r.URL.Query().Get("key"), s.cfg.Key) {
		s.refuse(w, r, http.StatusUnauthorized, "the key in the address is not this session's: open the address that submit dashboard printed")
		return
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName(r.Host), Value: s.cfg.Key, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// cookieName has the port in it, because cookies of one host are sent to all
// its ports and two dashboards would overwrite each other's.
func cookieName(host string) string {
	_, port, err := net.SplitHostPort(host)
	if err != nil {
		port = "80"
	}
	return "boxfleet-dashboard-" + port
}

// mayAct checks the token of an action.
func (s *Server) mayAct(w http.ResponseWriter, r *http.Request) bool {
	if s.cfg.Token == "" {
		s.refuse(w, r, http.StatusForbidden, "this dashboard is read-only; start it with --actions to act")
		return false
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || !equal(token, s.cfg.Token) {
		s.refuse(w, r, http.StatusForbidden, "actions need the token that submit dashboard printed")
		return false
	}
	return true
}

// equal compares secrets in a time that tells nothing of them.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// loopbackHost tells whether a Host header names this machine by an address.
// The port is free, because an SSH tunnel may change it; a name that an
// attacker's DNS points here is not.
func loopbackHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if name == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}

// sameOrigin tells whether a request comes from our page or from the address
// bar. Origin is sent with whatever can change something; Fetch Metadata with
// everything that a browser asks of a loopback address.
func sameOrigin(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "http" || u.Host != r.Host {
			return false
		}
	}
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "", "same-origin":
		return true
	case "none": // typed, or a bookmark
		return r.Method == http.MethodGet
	default: // a link in another page may open the page, and nothing else
		return r.Method == http.MethodGet && r.URL.Path == "/" && r.Header.Get("Sec-Fetch-Mode") == "navigate" &&
			r.Header.Get("Sec-Fetch-Dest") == "document"
	}
}

// refuse answers with the reason. What it logs of the request is bounded by
// the server's limit on headers.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, why string) {
	s.cfg.Log.Info("refused a request", "method", r.Method, "path", r.URL.Path, "host", r.Host, "why", why)
	if strings.HasPrefix(r.URL.Path, "/api/") {
		fail(w, status, why)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(why + "\n"))
}
