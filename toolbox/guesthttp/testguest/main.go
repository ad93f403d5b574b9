// Command testguest is what the tests of wasi:http hosts run: one way of using guesthttp per subcommand. It prints what
// came of it and exits with 1 if that was an error.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"boxfleet/toolbox/guesthttp"
)

var client = &http.Client{Transport: &guesthttp.Transport{}}

func main() {
	if len(os.Args) < 3 {
		fmt.Println("want a subcommand and a URL")
		os.Exit(2)
	}
	run, ok := map[string]func(string, []string) error{
		"get": get, "post": post, "many": many, "timeout": timeout, "bench": bench, "pipe": pipe,
	}[os.Args[1]]
	if !ok {
		fmt.Println("unknown subcommand", os.Args[1])
		os.Exit(2)
	}
	if err := run(os.Args[2], os.Args[3:]); err != nil {
		var code *guesthttp.Error
		if errors.As(err, &code) {
			fmt.Println("error-code", code.Code)
		} else {
			fmt.Println("error", err)
		}
		os.Exit(1)
	}
}

// get prints status, header X-Test, body length and trailers.
func get(url string, _ []string) error {
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	fmt.Println(resp.StatusCode, resp.Header.Get("X-Test"), n, resp.Trailer.Get("X-Trailer"), resp.Request.URL.Path)
	return err
}

// post sends that many bytes and prints the answer.
func post(url string, args []string) error {
	size, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	var body io.Reader = strings.NewReader(strings.Repeat("p", size))
	if len(args) > 1 { // of unknown length
		body = io.MultiReader(body)
	}
	resp, err := client.Post(url, "text/plain", body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(os.Stdout, resp.Body)
	return err
}

// many makes several requests at once, which the server only answers when all of them are there.
func many(url string, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { errs[i] = get(url, nil) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// timeout gives up after milliseconds.
func timeout(url string, args []string) error {
	ms, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(ms)*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// pipe sends a body that another goroutine writes.
func pipe(url string, _ []string) error {
	r, w := io.Pipe()
	go func() {
		for range 100 {
			fmt.Fprint(w, strings.Repeat("x", 1000))
		}
		w.Close()
	}()
	resp, err := client.Post(url, "text/plain", r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(os.Stdout, resp.Body)
	return err
}

// bench makes that many requests one after the other.
func bench(url string, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for range n {
		resp, err := client.Get(url)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		resp.Body.Close()
	}
	return nil
}
