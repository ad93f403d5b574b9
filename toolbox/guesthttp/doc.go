// Package guesthttp lets Go programs built for GOOS=wasip1 make HTTP requests through wasi:http 0.2, which such a program
// imports as core functions. Any host that serves the lowered imports of wasi:http/outgoing-handler will do.
//
//	client := &http.Client{Transport: &guesthttp.Transport{}}
//	resp, err := client.Get("https://example.com/")
//
// The host connects, verifies TLS and enforces what the job may reach; a refusal comes back as an [*Error] whose Code is
// "HTTP-request-denied". Bodies are streamed both ways. A request ends with its context: while it waits, other
// goroutines run. Redirects, cookies and decompression are the business of [http.Client] and the program.
//
// On any other platform [Transport] is [http.DefaultTransport], so that the same program can be run and tested natively.
package guesthttp
