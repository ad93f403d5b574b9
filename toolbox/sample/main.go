// Command sample makes the toolbox's sample inputs under testdata: they follow
// from a fixed seed, so that anybody can make them again. Run it in the
// toolbox's folder:
//
//	go run ./sample
//
// It writes orders.json (2,500 orders), photo.png (a landscape of hills, fog and
// grain, which compresses about as badly as a photo) and tree/ (a small project
// with logs, code, notes and one binary file).
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	dir := flag.String("dir", "testdata", "where to write")
	flag.Parse()
	if err := write(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "sample:", err)
		os.Exit(1)
	}
}

// write makes all samples below dir.
func write(dir string) error {
	files := tree()
	files["orders.json"] = orders(2500)
	picture, err := photo(512, 384)
	if err != nil {
		return err
	}
	files["photo.png"] = picture
	for name, content := range files {
		target := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
